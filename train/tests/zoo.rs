//! Every network of the zoo that the importer knows, by Burn, against what PyTorch computed: outputs and activations
//! to 1e-4 absolute (f32 reordering moves them by up to 1.2e-5), gradients to 1e-3 of their largest entry.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_importer::ImportOptions;
use dmdx_importer::check::Kind;
use dmdx_train::check;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/zoo").join(name)
}

fn agrees(name: &str, io: &str, gradients: usize) {
    // One case is a pickle.
    let options = ImportOptions { allow_pickle: true, ..ImportOptions::default() };
    let report = check::run(&fixture(name), &fixture(name).join(io), 1e-4, &options, &Device::flex()).unwrap();
    assert!(report.passed(), "{report}");
    let compared = report.rows.iter().filter(|row| row.kind == Kind::Gradient).count();
    assert!(compared >= gradients, "{compared} gradients were compared\n{report}");
}

#[test]
fn unet_of_the_sdxl_kind() {
    agrees("unet_sdxl", "io.safetensors", 6);
}

#[test]
fn unet_of_the_sd15_kind() {
    agrees("unet_sd15", "io.safetensors", 4);
}

#[test]
fn unet_of_the_sd21_kind() {
    agrees("unet_sd21", "io.safetensors", 4);
}

#[test]
fn autoencoder_of_the_sdxl_kind() {
    agrees("vae_sdxl", "io_decode.safetensors", 4);
    agrees("vae_sdxl", "io_encode.safetensors", 1);
}

#[test]
fn autoencoder_of_the_sd3_kind() {
    agrees("vae_sd3", "io_decode.safetensors", 4);
}

#[test]
fn clip_text_encoders() {
    agrees("clip_l", "io.safetensors", 1);
    agrees("clip_l_eos", "io.safetensors", 1);
    agrees("clip_g_proj", "io.safetensors", 1);
    agrees("bin_clip_l", "io.safetensors", 0);
}

#[test]
fn sam_vision_encoder() {
    agrees("sam", "io.safetensors", 4);
}

#[test]
fn transformers_of_the_sd3_kind() {
    agrees("sd3_medium", "io.safetensors", 4);
    agrees("sd35_medium", "io.safetensors", 4);
    agrees("sd35_large", "io.safetensors", 4);
}

#[test]
fn transformers_of_the_cogvideox_kind() {
    agrees("cogvideox_2b", "io.safetensors", 4);
    agrees("cogvideox_5b", "io.safetensors", 4);
    agrees("cogvideox_5b_i2v", "io.safetensors", 5);
    agrees("cogvideox_15_5b", "io.safetensors", 4);
    agrees("cogvideox_15_i2v", "io.safetensors", 5);
}

#[test]
fn autoencoder_of_the_cogvideox_kind() {
    agrees("vae_cogvideox", "io_decode.safetensors", 4);
    agrees("vae_cogvideox", "io_encode.safetensors", 4);
}

#[test]
fn t5_text_encoders() {
    agrees("t5_encoder", "io.safetensors", 0);
    agrees("t5_encoder", "io_masked.safetensors", 0);
    agrees("t5_encoder", "io_gradients.safetensors", 20);
    agrees("t5_options", "io.safetensors", 0);
}

#[test]
fn dinov2_vision_encoders() {
    for name in ["dinov2", "dinov2_swiglu"] {
        agrees(name, "io.safetensors", 0);
        agrees(name, "io_interp.safetensors", 0);
        agrees(name, "io_gradients.safetensors", 20);
    }
}

#[test]
fn whole_models_and_options() {
    agrees("sam_whole", "io_whole.safetensors", 0);
    agrees("sam_options", "io.safetensors", 0);
    agrees("clip_model", "io_image.safetensors", 0);
    agrees("clip_model", "io_text.safetensors", 0);
    agrees("clip_vision", "io.safetensors", 1);
    agrees("sd3_options", "io.safetensors", 5);
    agrees("cogvideox_options", "io.safetensors", 5);
}

//! Every network of the zoo against the outputs and activations that the reference libraries computed.
//!
//! The tolerance is 1e-4 absolute: the references are float32 runs of networks whose activations are of size 1 to 10,
//! which differ from float64 by up to 1.2e-5.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use dmdx_importer::check::{self, Kind};
use dmdx_importer::{ImportError, ImportOptions};

const TOLERANCE: f64 = 1e-4;

fn zoo(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/zoo").join(case)
}

/// Checks one case against one of its files, and that the file holds as many tensors of each kind as expected: a check
/// that compares nothing proves nothing.
fn agrees(case: &str, io: &str, outputs: usize, activations: usize) {
    let folder = zoo(case);
    let report = check::run(&folder, &folder.join(io), TOLERANCE, &ImportOptions::default()).unwrap();
    assert!(report.passed(), "{report}");
    let count = |kind| report.rows.iter().filter(|row| row.kind == kind).count();
    assert_eq!((count(Kind::Output), count(Kind::Activation)), (outputs, activations), "{report}");
}

#[test]
fn unet_sdxl() {
    agrees("unet_sdxl", "io.safetensors", 1, 15);
}

#[test]
fn unet_sd15() {
    agrees("unet_sd15", "io.safetensors", 1, 14);
}

#[test]
fn unet_sd21() {
    agrees("unet_sd21", "io.safetensors", 1, 14);
}

#[test]
fn sd3_medium() {
    agrees("sd3_medium", "io.safetensors", 1, 13);
}

/// Queries and keys are normalised.
#[test]
fn sd35_large() {
    agrees("sd35_large", "io.safetensors", 1, 13);
}

/// Two attentions in the first blocks.
#[test]
fn sd35_medium() {
    agrees("sd35_medium", "io.safetensors", 1, 13);
}

#[test]
fn bf16_sd35_medium() {
    agrees("bf16_sd35_medium", "io.safetensors", 1, 13);
}

#[test]
fn sharded_sd3() {
    agrees("sharded_sd3", "io.safetensors", 1, 13);
}

/// Another size than the configuration's.
#[test]
fn cogvideox_2b() {
    agrees("cogvideox_2b", "io.safetensors", 1, 14);
}

#[test]
fn cogvideox_5b() {
    agrees("cogvideox_5b", "io.safetensors", 1, 14);
}

/// Patches of two frames.
#[test]
fn cogvideox_15_5b() {
    agrees("cogvideox_15_5b", "io.safetensors", 1, 14);
}

/// A table of positions in the file beside the rotary ones.
#[test]
fn cogvideox_5b_i2v() {
    agrees("cogvideox_5b_i2v", "io.safetensors", 1, 58);
}

/// Patches of three frames and a second condition.
#[test]
fn cogvideox_15_i2v() {
    agrees("cogvideox_15_i2v", "io.safetensors", 1, 63);
}

#[test]
fn cogvideox_options() {
    agrees("cogvideox_options", "io.safetensors", 1, 62);
}

/// Two attentions in the last block, a patch of three, a table that has no middle for these sizes.
#[test]
fn sd3_options() {
    agrees("sd3_options", "io.safetensors", 1, 125);
}

#[test]
fn vae_sdxl_encodes_and_decodes() {
    agrees("vae_sdxl", "io_encode.safetensors", 2, 8);
    agrees("vae_sdxl", "io_decode.safetensors", 1, 7);
}

#[test]
fn vae_sd3_encodes_and_decodes() {
    agrees("vae_sd3", "io_encode.safetensors", 2, 8);
    agrees("vae_sd3", "io_decode.safetensors", 1, 7);
}

#[test]
fn clip_text_pools_at_the_largest_id() {
    agrees("clip_l", "io.safetensors", 3, 5);
}

#[test]
fn clip_text_pools_at_the_end_of_text() {
    agrees("clip_l_eos", "io.safetensors", 3, 5);
}

#[test]
fn clip_text_with_projection() {
    agrees("clip_g_proj", "io.safetensors", 3, 6);
}

#[test]
fn clip_vision_with_projection() {
    agrees("clip_vision", "io.safetensors", 2, 7);
}

/// Seven activations and the attention weights of the first layer, which are derived.
#[test]
fn sam_vision_encoder() {
    agrees("sam", "io.safetensors", 1, 8);
}

/// From pictures and points to masks: points of every label, and every named module.
#[test]
fn sam_whole() {
    agrees("sam_whole", "io_whole.safetensors", 2, 61);
}

/// More tokens than the distances that have buckets of their own.
#[test]
fn t5_encoder() {
    agrees("t5_encoder", "io.safetensors", 1, 4);
}

/// Padding behind and within the text, with the position bias that every block hands on.
#[test]
fn t5_encoder_with_a_mask() {
    agrees("t5_encoder", "io_masked.safetensors", 1, 17);
}

/// The original T5: no gate, ReLU, and a whole model's file with the token table under the encoder's name.
#[test]
fn t5_options() {
    agrees("t5_options", "io.safetensors", 1, 27);
}

/// Every named module, and a picture for which the table of positions is interpolated.
#[test]
fn dinov2() {
    agrees("dinov2", "io.safetensors", 2, 32);
    agrees("dinov2", "io_interp.safetensors", 2, 3);
}

/// A gated feed-forward network, projections without bias, a picture side that is no multiple of the patch.
#[test]
fn dinov2_swiglu() {
    agrees("dinov2_swiglu", "io.safetensors", 2, 30);
    agrees("dinov2_swiglu", "io_interp.safetensors", 2, 3);
}

/// Every option that the released configurations leave at its default, and every named module of the network.
#[test]
fn unet_options() {
    agrees("unet_options", "io.safetensors", 1, 359);
}

#[test]
fn vae_options() {
    agrees("vae_options", "io_encode.safetensors", 2, 31);
    agrees("vae_options", "io_decode.safetensors", 1, 42);
}

/// Both halves of one file, every named module.
#[test]
fn clip_model() {
    agrees("clip_model", "io_text.safetensors", 1, 29);
    agrees("clip_model", "io_image.safetensors", 1, 30);
}

#[test]
fn sam_options() {
    agrees("sam_options", "io.safetensors", 1, 30);
}

#[test]
fn a_file_for_another_network_is_refused() {
    let error = check::run(&zoo("clip_l"), &zoo("sam").join("io.safetensors"), TOLERANCE, &ImportOptions::default()).unwrap_err();
    let ImportError::Reference { fault, .. } = &error else { panic!("{error}") };
    assert_eq!(fault.to_string(), "its arguments are pixel_values, but text_encoder takes input_ids");
}

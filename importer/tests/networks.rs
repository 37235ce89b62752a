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
fn half_unet_sdxl() {
    agrees("half_unet_sdxl", "io.safetensors", 1, 15);
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
    let ImportError::Reference { reason, .. } = &error else { panic!("{error}") };
    assert_eq!(reason, "its arguments are pixel_values, but text_encoder takes input_ids");
}

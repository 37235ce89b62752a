//! Recorded training iterations, repeated: losses, logits, gradients, updated weights, later losses.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_train::replay;

fn trace(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/traces").join(name)
}

fn repeats(name: &str, tensors: usize) {
    let path = trace(name);
    let report = replay::run(&path, &replay::default_zoo(&path), 1e-3, &Device::flex()).unwrap();
    assert!(report.passed(), "{report}");
    assert!(report.rows.len() >= tensors, "{} tensors were compared", report.rows.len());
}

#[test]
fn adversarial_distillation_pretraining() {
    repeats("adp_sdxl_pixel.safetensors", 125);
}

#[test]
fn adversarial_distribution_matching() {
    repeats("adm_sdxl.safetensors", 120);
}

#[test]
fn adversarial_distribution_matching_past_the_fake_score() {
    repeats("adm_sdxl_detach_fake.safetensors", 35);
}

#[test]
fn pretraining_of_a_flow_teacher() {
    repeats("adp_sd3_latent.safetensors", 62);
}

#[test]
fn matching_of_a_flow_teacher_in_four_steps() {
    repeats("adm_sd3_4step.safetensors", 75);
}

#[test]
fn matching_of_a_video_teacher_in_eight_steps() {
    repeats("adm_cogvideox_8step.safetensors", 68);
}

#[test]
fn rectified_flow() {
    repeats("reflow_sdxl.safetensors", 20);
}

#[test]
fn distribution_matching_distillation() {
    repeats("dmd_sdxl.safetensors", 45);
}

#[test]
fn matching_with_a_classifier_on_real_latents_in_one_step() {
    repeats("dmd2_sdxl_1step_399.safetensors", 60);
}

#[test]
fn regression_on_decoded_pictures() {
    repeats("dmd2_regression_sdxl.safetensors", 23);
}

#[test]
fn latent_consistency_distillation() {
    repeats("lcm_sdxl.safetensors", 42);
}

#[test]
fn latent_adversarial_diffusion_distillation() {
    repeats("ladd_sd3.safetensors", 65);
}

/// What is said of a trace without tensors.
fn refusal(method: &str, options: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.safetensors");
    let metadata = [("method", method), ("options", options)].map(|(key, value)| (key.to_string(), value.to_string()));
    let none: [(&str, safetensors::tensor::TensorView<'_>); 0] = [];
    std::fs::write(&path, safetensors::serialize(none, Some(metadata.into())).unwrap()).unwrap();
    replay::run(&path, folder.path(), 1e-3, &Device::flex()).unwrap_err().to_string()
}

#[test]
fn a_method_that_is_not_there_is_named() {
    let error = refusal("gan", "{}");
    assert!(error.contains("gan") && error.contains("not available yet"), "{error}");
}

//! Whole teachers from prompt to picture, against diffusers: embeddings, times, every latent, picture or video.
//!
//! Networks agree to 1e-4; several guided steps amplify that, so the whole way is held to 1e-3.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_train::sample;

const TOLERANCE: f64 = 1e-3;

fn pipeline(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/pipelines")).join(name)
}

fn holds(name: &str) {
    let (folder, device) = (pipeline(name), Device::default());
    let io = folder.join("io_pipeline.safetensors");
    assert!(sample::is_of_pipeline(&io).unwrap());
    for device in [Some(&device), None] {
        let report = sample::check(&folder, &io, TOLERANCE, device).unwrap();
        assert!(report.passed(), "{report}");
        assert!(report.rows.len() >= 9, "{report}");
    }
}

#[test]
fn stable_diffusion_xl_draws_what_diffusers_draws() {
    holds("sdxl");
}

#[test]
fn stable_diffusion_3_draws_what_diffusers_draws() {
    holds("sd3");
}

#[test]
fn cogvideox_films_what_diffusers_films() {
    holds("cogvideox");
}

/// A check that cannot fail proves nothing: the reference of another pipeline's kind of step must not pass.
#[test]
fn another_scheduler_is_noticed() {
    let temporary = tempfile::tempdir().unwrap();
    let (from, to) = (pipeline("sdxl"), temporary.path());
    copy(&from, to);
    let config = to.join("scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("\"beta_end\": 0.012"), "{text}");
    std::fs::write(&config, text.replace("\"beta_end\": 0.012", "\"beta_end\": 0.013")).unwrap();
    let report = sample::check(to, &from.join("io_pipeline.safetensors"), TOLERANCE, Some(&Device::default())).unwrap();
    let failed: Vec<&str> = report.rows.iter().filter(|row| !row.ok).map(|row| row.name.as_str()).collect();
    assert!(failed.contains(&"latents.1") && failed.contains(&"out.image"), "{report}");
    assert!(!failed.contains(&"prompt_embeds"), "{report}");
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

//! Bundles of every family, from prompt to picture: what their engine makes is what the checkpoint makes.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_export::{BundleOptions, Role, Stage, export_bundle};
use dmdx_importer::reference::{RefTensor, read_tensors};
use dmdx_importer::{ImportOptions, import_pipeline};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::{Bundle, Tensor};
use dmdx_train::sample::{self, Request};
use dmdx_train::teacher::OnBurn;

/// Networks agree to 1e-4; several guided steps amplify that.
const TOLERANCE: f32 = 1e-3;

fn pipeline(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/pipelines")).join(name)
}

fn tensor(reference: &RefTensor) -> Tensor {
    Tensor::f32(reference.shape.clone(), reference.to_f32()).unwrap()
}

/// Exports the pipeline in `folder` and makes one picture or video of it, from 0 to 1.
fn drawn(folder: &Path, frames: Option<usize>, steps: Vec<f64>, request: &Request, noise: &Tensor) -> Tensor {
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("bundle");
    let imported = import_pipeline(folder, &ImportOptions { frames, ..ImportOptions::default() }).unwrap();
    let mut quiet = |_: Stage<'_>| {};
    let options = BundleOptions {
        guidance_scale: Some(request.guidance_scale),
        frames,
        ..BundleOptions::new(Role::Teacher, steps, &mut quiet)
    };
    export_bundle(&imported, folder, &out, options).unwrap();
    let bundle = Bundle::open(&out).unwrap();
    assert_eq!(bundle.manifest().latent_shape, noise.shape()[1..]);
    let mut pipeline =
        dmdx_runtime::Pipeline::open(&bundle, &TractEngine::new(2)).unwrap_or_else(|error| panic!("{}", error.chain()));
    if let Some(text) = &request.negative_prompt {
        pipeline = pipeline.with_negative_prompt(text.clone()).unwrap();
    }
    let made = pipeline
        .generate(std::slice::from_ref(&request.prompt), noise, &|_| {})
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let values = made.floats().unwrap().iter().map(|value| (value / 2.0 + 0.5).clamp(0.0, 1.0)).collect();
    Tensor::f32(made.shape(), values).unwrap()
}

fn assert_close(found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.shape(), wanted.shape());
    let pairs = found.floats().unwrap().iter().zip(wanted.floats().unwrap());
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("differs by at most {worst:e}");
    assert!(worst < TOLERANCE, "differs by {worst}");
}

fn request([height, width]: [usize; 2]) -> Request {
    Request {
        prompt: "a photo of an astronaut".into(),
        negative_prompt: None,
        steps: 4,
        guidance_scale: 6.0,
        dynamic_guidance: false,
        guidance_rescale: 0.0,
        height,
        width,
        seed: 0,
    }
}

/// Flow matching walks along any list of times: here along diffusers' own.
#[test]
fn a_bundle_of_stable_diffusion_3_draws_what_diffusers_draws() {
    let folder = pipeline("sd3");
    let (reference, metadata) = read_tensors(&folder.join("io_pipeline.safetensors")).unwrap();
    let steps = reference["timesteps"].to_f32().into_iter().map(f64::from).collect();
    let asked = Request {
        prompt: metadata["prompt"].clone(),
        negative_prompt: Some(metadata["negative_prompt"].clone()),
        guidance_scale: metadata["guidance_scale"].parse().unwrap(),
        ..request([64, 64])
    };
    let found = drawn(&folder, None, steps, &asked, &tensor(&reference["latents.0"]));
    assert_close(&found, &tensor(&reference["out.image"]));
}

/// What diffusers draws at a size that the networks were not trained for (`fixtures/pipelines/make_sizes.py`), every fourth
/// pixel: sizes that the networks are told, and positions, follow.
fn draws_another_size(name: &str, size: [usize; 2]) {
    let folder = pipeline(name);
    let (reference, metadata) = read_tensors(&folder.join("../sizes.safetensors")).unwrap();
    let get = |part: &str| tensor(&reference[&format!("{name}.{part}")]);
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("bundle");
    let imported = import_pipeline(&folder, &ImportOptions::default()).unwrap();
    let mut quiet = |_: Stage<'_>| {};
    let steps = get("times").floats().unwrap().iter().map(|&time| f64::from(time)).collect();
    let options = BundleOptions { guidance_scale: Some(5.0), ..BundleOptions::new(Role::Teacher, steps, &mut quiet) };
    export_bundle(&imported, &folder, &out, options).unwrap();
    let bundle = Bundle::open(&out).unwrap();
    let open = || dmdx_runtime::Pipeline::open(&bundle, &TractEngine::new(2)).unwrap();
    let [height, width] = size;
    let drawn = open().with_size(Some(height), Some(width)).unwrap();
    assert_eq!(drawn.pixels(), Some(size));
    let drawn = drawn.with_negative_prompt(metadata["negative_prompt"].clone()).unwrap();
    let made = drawn.generate(std::slice::from_ref(&metadata["prompt"]), &get("noise"), &|_| {}).unwrap();
    assert_eq!(made.shape()[2..], size);
    let rows = made.floats().unwrap().chunks(width).enumerate().filter(|(row, _)| row.is_multiple_of(4));
    let values = rows.flat_map(|(_, row)| row.iter().step_by(4).map(|value| (value / 2.0 + 0.5).clamp(0.0, 1.0))).collect();
    assert_close(&Tensor::f32([1, 3, height / 4, width / 4], values).unwrap(), &get("image"));
    // A side that is left out is the trained one, and one that the networks do not take is refused before the work.
    assert_eq!(open().with_size(None, Some(96)).unwrap().pixels(), Some([64, 96]));
    let error = open().with_size(Some(36), None).err().unwrap().to_string();
    assert!(error.contains("36 pixels was asked for; multiples of"), "{error}");
}

#[test]
fn a_bundle_of_sdxl_draws_other_sizes_as_diffusers_does() {
    draws_another_size("sdxl", [32, 96]);
}

#[test]
fn a_bundle_of_stable_diffusion_3_draws_other_sizes_as_diffusers_does() {
    draws_another_size("sd3", [48, 32]);
}

/// Four steps divide the times evenly, so that diffusers' DDIM ends every step where the next one begins.
fn films_what_the_checkpoint_films(folder: &Path, noise: &Tensor, size: [usize; 2]) {
    let imported = import_pipeline(folder, &ImportOptions { frames: Some(9), ..ImportOptions::default() }).unwrap();
    let request = request(size);
    let networks = OnBurn::new(&imported, Device::default());
    let trace = sample::run(&imported, &networks, &request, noise, &|_, _| ()).unwrap();
    assert_eq!(trace.timesteps, [999.0, 749.0, 499.0, 249.0]);
    let found = drawn(folder, Some(9), trace.timesteps, &request, noise);
    assert_close(&found, &trace.result);
}

#[test]
fn a_bundle_of_cogvideox_films_what_the_checkpoint_films() {
    let folder = pipeline("cogvideox");
    let (reference, _) = read_tensors(&folder.join("io_pipeline.safetensors")).unwrap();
    films_what_the_checkpoint_films(&folder, &tensor(&reference["latents.0"]), [32, 48]);
}

//! The tiny bundle makes the pictures that diffusers' schedulers and onnxruntime make of it.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{copy_of_bundle, difference, engines, fixture, largest, tensors};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::manifest::{GuidanceRange, Manifest, Role, Unconditional};
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, StepRule};
use dmdx_runtime::{Bundle, Error, Pipeline, Tensor};

fn prompts() -> Vec<String> {
    ["a red seven", "a blue four", "a red seven"].map(str::to_owned).to_vec()
}

/// A copy of the tiny bundle with another manifest.
fn variant(change: impl FnOnce(&mut Manifest)) -> tempfile::TempDir {
    let folder = copy_of_bundle();
    let path = folder.path().join("dmdx.json");
    let mut manifest = Manifest::parse(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, manifest.to_json().unwrap()).unwrap();
    folder
}

fn teacher(manifest: &mut Manifest, parameterisation: Parameterisation, unconditional: Unconditional) {
    manifest.role = Role::Teacher;
    manifest.steps = vec![999.0, 749.0, 499.0, 249.0];
    manifest.parameterisation = parameterisation;
    manifest.guidance_scale = Some(3.0);
    manifest.unconditional = unconditional;
}

fn assert_pictures(folder: &Path, name: &str) {
    let expected = tensors(&fixture("tiny-bundle/io.safetensors"));
    let (noise, want) = (&expected["noise"].0, &expected[name].0);
    let bundle = Bundle::open(folder).unwrap();
    for engine in engines() {
        let pipeline = Pipeline::open(&bundle, engine.as_ref()).unwrap();
        let pictures = pipeline.generate(&prompts(), noise, &|_| {}).unwrap();
        // Float32 networks and schedulers in another order of operations; 1/alpha = 14.6 at t = 999 amplifies.
        let relative = difference(&pictures, want) / largest(want);
        assert!(relative < 1e-5, "{} {name}: {relative}", engine.name());
    }
}

#[test]
fn one_step_student_on_the_line() {
    assert_pictures(&fixture("tiny-bundle/bundle"), "student");
}

#[test]
fn epsilon_teacher_with_guidance_against_zeros_equals_ddim() {
    let folder = variant(|manifest| teacher(manifest, Parameterisation::Epsilon, Unconditional::Zeros));
    assert_pictures(folder.path(), "epsilon");
}

#[test]
fn v_teacher_with_guidance_against_the_empty_prompt_equals_ddim() {
    let folder = variant(|manifest| teacher(manifest, Parameterisation::VPrediction, Unconditional::EmptyPrompt));
    assert_pictures(folder.path(), "v_prediction");
}

#[test]
fn flow_without_guidance_equals_euler() {
    let times = tensors(&fixture("tiny-bundle/io.safetensors"))["flow_times"].1.clone();
    let folder = variant(|manifest| {
        manifest.parameterisation = Parameterisation::Flow;
        manifest.schedule = NoiseSchedule::flow();
        manifest.steps = times;
    });
    assert_pictures(folder.path(), "flow");
}

#[test]
fn a_student_that_draws_between_its_steps_repeats_by_its_seed() {
    let folder = variant(|manifest| {
        manifest.parameterisation = Parameterisation::Sample;
        manifest.steps = vec![999.0, 499.0];
        manifest.sampler = StepRule::Renoise;
        manifest.guidance = Some(GuidanceRange { default: 2.0, range: [1.0, 3.0] });
    });
    let bundle = Bundle::open(folder.path()).unwrap();
    let noise = dmdx_runtime::noise::latents(3, 0, 3, &[4, 4, 4]).unwrap();
    let open = || Pipeline::open(&bundle, &TractEngine::new(1)).unwrap();
    let make = |pipeline: Pipeline| pipeline.generate(&prompts(), &noise, &|_| {}).unwrap();
    let first = make(open().with_seed(7));
    assert_eq!(make(open().with_seed(7)), first);
    assert!(difference(&make(open().with_seed(8)), &first) > 1e-3);
    assert_eq!(make(open().with_seed(7).with_guidance(2.0).unwrap()), first, "the default");
    assert!(difference(&make(open().with_seed(7).with_guidance(3.0).unwrap()), &first) > 1e-4);
    let error = open().with_guidance(3.5).err().unwrap().to_string();
    assert!(error.contains("3.5") && error.contains("takes 1 to 3"), "{error}");
    let plain = Bundle::open(&fixture("tiny-bundle/bundle")).unwrap();
    let error = Pipeline::open(&plain, &TractEngine::new(1)).unwrap().with_guidance(2.0).err().unwrap().to_string();
    assert!(error.contains("runs without guidance"), "{error}");
}

#[test]
fn a_picture_depends_on_its_own_noise_and_prompt_only() {
    let bundle = Bundle::open(&fixture("tiny-bundle/bundle")).unwrap();
    let all = prompts().into_iter().cycle().take(70).collect::<Vec<_>>();
    let noise = dmdx_runtime::noise::latents(3, 0, 70, &[4, 4, 4]).unwrap();
    let make = |threads| {
        let seen = std::sync::Mutex::new(Vec::new());
        let pipeline = Pipeline::open(&bundle, &TractEngine::new(threads)).unwrap();
        let pictures = pipeline.generate(&all, &noise, &|done| seen.lock().unwrap().push(done)).unwrap();
        assert_eq!(seen.into_inner().unwrap().iter().max(), Some(&70));
        pictures
    };
    let pictures = make(1);
    assert_eq!(pictures.shape(), [70, 3, 8, 8]);
    assert_eq!(make(3), pictures, "threads change nothing");
    let pipeline = Pipeline::open(&bundle, &TractEngine::new(1)).unwrap();
    let last = dmdx_runtime::noise::latents(3, 69, 1, &[4, 4, 4]).unwrap();
    let alone = pipeline.generate(&all[69..], &last, &|_| {}).unwrap();
    let row = Tensor::f32([1, 3, 8, 8], pictures.floats().unwrap()[69 * 192..].to_vec()).unwrap();
    assert!(difference(&alone, &row) < 1e-5);
}

#[test]
fn requests_that_make_no_sense() {
    let bundle = Bundle::open(&fixture("tiny-bundle/bundle")).unwrap();
    let pipeline = Pipeline::open(&bundle, &TractEngine::new(1)).unwrap();
    let noise = Tensor::f32([1, 4, 4, 4], vec![0.0; 64]).unwrap();
    assert!(matches!(pipeline.generate(&[], &noise, &|_| {}), Err(Error::Request(_))));
    assert!(matches!(pipeline.generate(&prompts(), &noise, &|_| {}), Err(Error::Shape(_))));
    let damaged = Tensor::f32([1, 4, 4, 4], vec![f32::NAN; 64]).unwrap();
    let error = pipeline.generate(&prompts()[..1], &damaged, &|_| {}).unwrap_err();
    assert!(error.chain().contains("NaN"), "{}", error.chain());
}

#[test]
fn a_pipeline_of_another_class_is_named() {
    let folder = variant(|manifest| manifest.pipeline = "FluxPipeline".into());
    let index = folder.path().join("model_index.json");
    let text = fs::read_to_string(&index).unwrap().replace("StableDiffusionXLPipeline", "FluxPipeline");
    fs::write(&index, &text).unwrap();
    let path = folder.path().join("dmdx.json");
    let mut manifest = Manifest::parse(&fs::read_to_string(&path).unwrap()).unwrap();
    let record = manifest.files.get_mut("model_index.json").unwrap();
    (record.bytes, record.sha256) = (text.len() as u64, dmdx_graph::store::hash::file(&index).unwrap().sha256);
    fs::write(path, manifest.to_json().unwrap()).unwrap();
    let error = Pipeline::open(&Bundle::open(folder.path()).unwrap(), &TractEngine::new(1)).err().unwrap();
    assert!(error.chain().contains("FluxPipeline") && error.chain().contains("the supported ones are"), "{}", error.chain());
}

#[test]
fn noise_larger_than_memory_is_refused() {
    for shape in [[65536, 65536, 65536], [usize::MAX, 2, 2]] {
        assert!(matches!(dmdx_runtime::noise::latents(0, 0, 1, &shape), Err(Error::Shape(_))));
    }
}

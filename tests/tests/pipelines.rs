//! Whole teachers from prompt to picture, against diffusers: embeddings, times, every latent, picture or video.
//!
//! Networks agree to 1e-4; several guided steps amplify that, so the whole way is held to 1e-3.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_export::{BundleOptions, Role, Stage, export_bundle};
use dmdx_importer::hf::safetensors::{SafetensorsWriter, TensorEntry};
use dmdx_importer::hf::tensors::open;
use dmdx_importer::{ImportOptions, Pipeline, import, import_pipeline};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::{Bundle, Tensor};
use dmdx_train::TrainError;
use dmdx_train::sample::{self, Request, Trace};
use dmdx_train::teacher::Interpreted;
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-3;

fn pipeline(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/pipelines")).join(name)
}

fn holds(name: &str) {
    holds_at(&pipeline(name), &pipeline(name).join("io_pipeline.safetensors"));
}

fn holds_at(folder: &Path, io: &Path) {
    let device = Device::default();
    assert!(sample::is_of_pipeline(io).unwrap());
    for device in [Some(&device), None] {
        let report = sample::check(folder, io, TOLERANCE, &ImportOptions::default(), device).unwrap();
        assert!(report.passed(), "{report}");
        assert!(report.rows.len() >= 8, "{report}");
    }
}

#[test]
fn stable_diffusion_xl_draws_what_diffusers_draws() {
    holds("sdxl");
}

/// Stable Diffusion 1.5: one text encoder, and a scheduler that asks twice at its second time.
#[test]
fn stable_diffusion_draws_what_diffusers_draws() {
    let temporary = tempfile::tempdir().unwrap();
    stable_diffusion(temporary.path());
    holds_at(temporary.path(), &pipeline("sd15/io_pipeline.safetensors"));
}

#[test]
fn stable_diffusion_3_draws_what_diffusers_draws() {
    holds("sd3");
}

#[test]
fn cogvideox_films_what_diffusers_films() {
    holds("cogvideox");
}

/// CogVideoX with the transformer of `cogvideox_15`.
fn with_patches_in_time(to: &Path) {
    copy(&pipeline("cogvideox"), to);
    let transformer = to.join("transformer");
    std::fs::remove_dir_all(&transformer).unwrap();
    std::fs::create_dir(&transformer).unwrap();
    copy(&pipeline("cogvideox_15/transformer"), &transformer);
}

#[test]
fn frames_are_filled_up_to_whole_patches_and_left_out_again() {
    let temporary = tempfile::tempdir().unwrap();
    with_patches_in_time(temporary.path());
    holds_at(temporary.path(), &pipeline("cogvideox_15/io_pipeline.safetensors"));
}

fn request(negative_prompt: Option<&str>, guidance_scale: f64) -> Request {
    let negative_prompt = negative_prompt.map(str::to_owned);
    Request {
        prompt: "a cat".into(),
        negative_prompt,
        steps: 1,
        guidance_scale,
        dynamic_guidance: false,
        guidance_rescale: 0.0,
        height: 64,
        width: 64,
        seed: 0,
    }
}

fn interpreted(teacher: &Pipeline, request: &Request, noise: &Tensor) -> Result<Trace, TrainError> {
    sample::run(teacher, &Interpreted::new(teacher), request, noise, &|_, _| ())
}

/// The expected values are diffusers' `encode_prompt("a red seven", max_sequence_length=16)` on the same folder: the states of
/// T5's 16 tokens, on average, and the first values of the first and of the last.
#[test]
fn stable_diffusion_3_reads_as_many_tokens_of_t5_as_it_is_told() {
    let options = ImportOptions { max_sequence_length: Some(16), ..ImportOptions::default() };
    let teacher = import_pipeline(&pipeline("sd3"), &options).unwrap();
    let noise = Tensor::f32([1, 16, 8, 8], vec![0.5; 1024]).unwrap();
    let asked = Request { prompt: "a red seven".into(), ..request(None, 1.0) };
    let trace = interpreted(&teacher, &asked, &noise).unwrap();
    let (_, states) = trace.told.inputs().find(|(name, _)| *name == "encoder_hidden_states").unwrap();
    assert_eq!(states.shape(), [1, 77 + 16, 80]);
    let t5 = &states.floats().unwrap()[77 * 80..];
    let mean = t5.iter().map(|value| f64::from(value.abs())).sum::<f64>() / t5.len() as f64;
    assert!((mean - 0.804_822_182).abs() < 1e-5, "{mean}");
    let expected =
        [[0.840_995_67, -0.555_900_63, 0.083_275_266, -1.247_574_6], [-1.368_671, -0.436_023_98, -0.819_279_9, -1.159_730_4]];
    for (found, expected) in [&t5[..4], &t5[15 * 80..15 * 80 + 4]].into_iter().zip(expected) {
        assert!(found.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-4), "{found:?}, not {expected:?}");
    }
    // It is another teacher than the same files read otherwise, and its students are drawn in the same way.
    assert_ne!(teacher.hash().unwrap(), import_pipeline(&pipeline("sd3"), &ImportOptions::default()).unwrap().hash().unwrap());
    assert_eq!(teacher.model_index["_dmdx_max_sequence_length"], 16);
    // What has no such choice says so.
    let refused = import_pipeline(&pipeline("sdxl"), &options).unwrap_err().to_string();
    assert!(refused.ends_with("and this is a StableDiffusionXLPipeline; leave it out"), "{refused}");
    let refused = import(&pipeline("sd3/transformer"), &options).unwrap_err().to_string();
    assert!(refused.ends_with("and this is a SD3Transformer2DModel; leave it out"), "{refused}");
}

#[test]
fn noise_of_the_wrong_number_of_frames_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    with_patches_in_time(temporary.path());
    let options = ImportOptions { frames: Some(9), ..ImportOptions::default() };
    let teacher = import_pipeline(temporary.path(), &options).unwrap();
    for frames in [0, 2, 3, 5, 6] {
        let noise = Tensor::f32([1, frames, 16, 2, 4], vec![0.0; frames * 128]).unwrap();
        let error = interpreted(&teacher, &request(None, 1.0), &noise).unwrap_err().to_string();
        assert!(error.contains("a video of 3 in patches of 2 needs 4"), "{error}");
    }
}

/// diffusers' class takes zeros where `model_index.json` does not say, but the empty prompt where one is given.
#[test]
fn zeros_stand_for_an_absent_negative_prompt_unless_the_pipeline_forbids_it() {
    let temporary = tempfile::tempdir().unwrap();
    copy(&pipeline("sdxl"), temporary.path());
    let noise = Tensor::f32([1, 4, 8, 8], vec![0.5; 256]).unwrap();
    let index = temporary.path().join("model_index.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    for (setting, negative, zeros) in [(None, None, true), (Some(true), Some(""), false), (Some(false), None, false)] {
        json["force_zeros_for_empty_prompt"] = setting.into();
        if setting.is_none() {
            json.as_object_mut().unwrap().remove("force_zeros_for_empty_prompt");
        }
        std::fs::write(&index, json.to_string()).unwrap();
        let teacher = import_pipeline(temporary.path(), &ImportOptions::default()).unwrap();
        let trace = interpreted(&teacher, &request(negative, 2.0), &noise).unwrap();
        assert_eq!(trace.negative.inputs().count(), 2);
        for (name, tensor) in trace.negative.inputs() {
            let is_zero = tensor.floats().unwrap().iter().all(|&value| value == 0.0);
            assert_eq!(is_zero, zeros, "{name} with {setting:?} and {negative:?}");
        }
    }
}

#[test]
fn guidance_that_is_no_number_is_refused() {
    let teacher = import_pipeline(&pipeline("sdxl"), &ImportOptions::default()).unwrap();
    let noise = Tensor::f32([1, 4, 8, 8], vec![0.5; 256]).unwrap();
    for scale in [f64::NAN, f64::INFINITY] {
        let error = interpreted(&teacher, &request(None, scale), &noise).unwrap_err().to_string();
        assert!(error.contains("guidance scale"), "{error}");
    }
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
    let report =
        sample::check(to, &from.join("io_pipeline.safetensors"), TOLERANCE, &ImportOptions::default(), Some(&Device::default()))
            .unwrap();
    let failed: Vec<&str> = report.rows.iter().filter(|row| !row.ok).map(|row| row.name.as_str()).collect();
    assert!(failed.contains(&"latents.1") && failed.contains(&"out.image"), "{report}");
    assert!(!failed.contains(&"prompt_embeds"), "{report}");
}

/// diffusers writes `-Infinity` into the configurations of its multistep solver, as released pipelines have it.
#[test]
fn the_infinity_of_python_is_read() {
    let temporary = tempfile::tempdir().unwrap();
    copy(&pipeline("sdxl"), temporary.path());
    let config =
        r#"{"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "scaled_linear", "lambda_min_clipped": -Infinity}"#;
    std::fs::write(temporary.path().join("scheduler/scheduler_config.json"), config).unwrap();
    let pipeline = dmdx_importer::import_pipeline(temporary.path(), &dmdx_importer::ImportOptions::default()).unwrap();
    let scheduler = dmdx_runtime::scheduler::Scheduler::from_config(&pipeline.scheduler.unwrap()).unwrap();
    assert_eq!(scheduler.class(), "DPMSolverMultistepScheduler");
}

/// Uniform in ±scale/2, of a hash of name and place: what `fixtures/unet-variants/make.py` computes.
fn numbers(name: &str, count: usize, scale: f64) -> Vec<f32> {
    let seed = name.bytes().fold(0x811c_9dc5u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let number = |i: usize| {
        let u = seed.wrapping_add((i as u32).wrapping_mul(2_654_435_761));
        let u = (u ^ (u >> 15)).wrapping_mul(2_246_822_519);
        ((f64::from(u ^ (u >> 13)) / 2f64.powi(32) - 0.5) * scale) as f32
    };
    (0..count).map(number).collect()
}

/// Stable Diffusion 1.5 with the autoencoder and text encoder of `sdxl`.
fn stable_diffusion(to: &Path) {
    copy(&pipeline("sd15"), to);
    let unet = pipeline("../zoo/unet_sd15");
    for (from, folder) in
        ["vae", "text_encoder", "tokenizer"].map(|name| (pipeline("sdxl").join(name), name)).into_iter().chain([(unet, "unet")])
    {
        std::fs::create_dir(to.join(folder)).unwrap();
        copy(&from, &to.join(folder));
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

/// Makes the UNet one that is told its guidance, and the pipeline LCM's.
fn told_its_guidance(folder: &Path) {
    edit(&folder.join("model_index.json"), |index| index["_class_name"] = json!("LatentConsistencyModelPipeline"));
    edit(&folder.join("unet/config.json"), |config| config["time_cond_proj_dim"] = json!(8));
    let unet = folder.join("unet");
    let weights = open(&unet, &ImportOptions::default()).unwrap().weights;
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> =
        weights.into_iter().map(|(name, weight)| (name, weight.shape().to_vec(), weight.to_f32())).collect();
    let name = "time_embedding.cond_proj.weight";
    tensors.push((name.into(), vec![8, 8], numbers(name, 64, 1.0)));
    let entries = tensors.iter().map(|(name, shape, _)| TensorEntry::f32(name.clone(), shape.clone())).collect();
    let file = std::fs::File::create(unet.join("diffusion_pytorch_model.safetensors")).unwrap();
    let mut writer = SafetensorsWriter::begin(file, &BTreeMap::new(), entries).unwrap();
    for (_, _, values) in tensors {
        writer.tensor().unwrap();
        writer.piece(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    }
    writer.finish().unwrap();
}

/// The few-step students that people publish draw what diffusers draws, with the schedulers that they come with.
#[test]
fn released_students_draw_what_diffusers_draws() {
    let answers: Value = serde_json::from_slice(&std::fs::read(pipeline("../students/answers.json")).unwrap()).unwrap();
    let noise = Tensor::f32([1, 4, 8, 8], numbers("noise", 256, 3.4)).unwrap();
    for (name, student) in answers.as_object().unwrap() {
        let temporary = tempfile::tempdir().unwrap();
        match student["networks"].as_str().unwrap() {
            "sdxl" => copy(&pipeline("sdxl"), temporary.path()),
            kind => {
                stable_diffusion(temporary.path());
                if kind == "lcm" {
                    told_its_guidance(temporary.path());
                }
            }
        }
        std::fs::write(temporary.path().join("scheduler/scheduler_config.json"), student["scheduler"].to_string()).unwrap();
        let pipeline = import_pipeline(temporary.path(), &ImportOptions::default()).unwrap();
        let draw = |steps: usize, guidance: f64| {
            let request = Request { prompt: "a photo of a cat".into(), steps, ..request(None, guidance) };
            let trace = interpreted(&pipeline, &request, &noise).unwrap();
            trace.latents.last().unwrap().floats().unwrap().iter().step_by(64).copied().collect::<Vec<f32>>()
        };
        let guidance = student["guidance"].as_f64().unwrap();
        for (steps, wanted) in student["latents"].as_object().unwrap() {
            let steps: usize = steps.parse().unwrap();
            let wanted: Vec<f32> = serde_json::from_value(wanted.clone()).unwrap();
            let found = draw(steps, guidance);
            let largest = wanted.iter().fold(1f32, |most, value| most.max(value.abs()));
            let worst = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{name} in {steps}: {worst:.1e} of {largest:.1}");
            // The reference's networks and steps are in f32; dividing by the smallest alpha, 0.068, amplifies that.
            assert!(worst <= 1e-4 * largest, "{name} in {steps}: {found:?} is not {wanted:?}");
        }
        if student["networks"] == "lcm" {
            let (high, low) = (draw(1, guidance), draw(1, 1.0));
            assert!(high.iter().zip(&low).any(|(a, b)| (a - b).abs() > 1e-2), "{high:?} {low:?}");
        }
        // Those that draw noise on the way, too: in the usual four steps.
        assert!(draw(4, guidance).iter().all(|value| value.is_finite()), "{name}");
    }
}

/// A bundle of a network that is told its guidance draws what the checkpoint draws, and is told another weight.
#[test]
fn a_bundle_is_told_its_guidance() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("lcm");
    std::fs::create_dir(&folder).unwrap();
    stable_diffusion(&folder);
    told_its_guidance(&folder);
    let answers: Value = serde_json::from_slice(&std::fs::read(pipeline("../students/answers.json")).unwrap()).unwrap();
    std::fs::write(folder.join("scheduler/scheduler_config.json"), answers["LCM"]["scheduler"].to_string()).unwrap();
    let pipeline = import_pipeline(&folder, &ImportOptions::default()).unwrap();
    let noise = Tensor::f32([1, 4, 8, 8], numbers("noise", 256, 3.4)).unwrap();
    let request = request(None, 8.0);
    let wanted = interpreted(&pipeline, &request, &noise).unwrap();
    assert_eq!(wanted.timesteps, [999.0]);
    let mut quiet = |_: Stage<'_>| {};
    let options = BundleOptions { guidance_scale: Some(8.0), ..BundleOptions::new(Role::Teacher, vec![999.0], &mut quiet) };
    let out = temporary.path().join("bundle");
    export_bundle(&pipeline, &folder, &out, options).unwrap();
    let open = || dmdx_runtime::Pipeline::open(&Bundle::open(&out).unwrap(), &TractEngine::new(1)).unwrap();
    let differs = |bundle: dmdx_runtime::Pipeline| {
        let made = bundle.generate(std::slice::from_ref(&request.prompt), &noise, &|_| {}).unwrap();
        let values = made.floats().unwrap().iter().map(|value| (value / 2.0 + 0.5).clamp(0.0, 1.0));
        values.zip(wanted.result.floats().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let (same, other) = (differs(open()), differs(open().with_guidance(1.0).unwrap()));
    println!("the same weight differs by {same:.1e}, another by {other:.1e}");
    assert!(f64::from(same) < TOLERANCE && f64::from(other) > 10.0 * TOLERANCE, "{same} {other}");
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

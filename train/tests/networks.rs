//! The whole job on the real networks of the digits teacher, a few iterations long: what it leaves, that it leaves the same
//! bytes twice, what it replaces, and what it holds.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../importer/tests/counting/mod.rs"]
mod counting;
mod events;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_importer::{ImportOptions, import_pipeline};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::pipeline::picture;
use dmdx_runtime::process::{NoiseSchedule, Parameterisation};
use dmdx_train::TrainError;
use dmdx_train::job::work::work;
use dmdx_train::job::{Distillation, Drawer, Models, PictureSet};
use dmdx_train::method::sections;
use dmdx_train::recipe::LoadedRecipe;
use dmdx_train::sample::{SampleArguments, sample};
use dmdx_train::session::Interrupt;
use dmdx_train::session::logs::read_metrics;

fn teacher() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/digits-sdxl")
}

fn loaded(sets: &[&str]) -> LoadedRecipe {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap()
}

fn run(folder: &Path, resume: bool) -> Result<(), TrainError> {
    let sets = [
        "pairs.count=8",
        "pairs.shard=4",
        "pairs.steps=2",
        "adp.iterations=2",
        "adp.batch=4",
        "adm.iterations=2",
        "adm.batch=4",
        "score.count_per_prompt=2",
        "checkpoint.every=1",
        "run.sample_every=2",
    ];
    let loaded = loaded(&sets);
    work(&loaded, folder, resume, &Interrupt::default(), &Distillation::open(&loaded)?)
}

/// `dmdx-train sample` of a student walks its own steps: the picture is that of the bundle.
fn draws_as_its_bundle_does(run: &Path) {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        sample: SampleArguments,
    }
    let (student, output) = (run.join("student"), run.join("drawn.png"));
    let line = ["sample", student.to_str().unwrap(), "--prompt", "a blue four", "--seed", "7", "-o", output.to_str().unwrap()];
    let device = dmdx_train::device::open(dmdx_train::recipe::Device::Cpu).unwrap();
    sample(&<Command as clap::Parser>::parse_from(line).sample, &device).unwrap();
    let bundle = dmdx_runtime::Bundle::open(&run.join("bundle")).unwrap();
    let pipeline = dmdx_runtime::Pipeline::open(&bundle, &TractEngine::new(1)).unwrap();
    let noise = dmdx_runtime::noise::latents(7, 0, 1, &pipeline.manifest().latent_shape).unwrap();
    let expected = picture::sheet(&pipeline.generate(&["a blue four".into()], &noise, &|_| ()).unwrap(), 1, 1).unwrap();
    let drawn = image::open(&output).unwrap().to_rgb8();
    let worst = drawn.iter().zip(&expected.rgb).map(|(a, b)| a.abs_diff(*b)).max();
    // Burn and tract may round a value at the edge of two bytes differently.
    assert!(worst <= Some(1), "{worst:?}");

    let asked = [line.as_slice(), &["--force", "--steps", "4"]].concat();
    let refused = sample(&<Command as clap::Parser>::parse_from(asked).sample, &device).unwrap_err();
    assert!(refused.to_string().contains("is a student"), "{refused}");
    let as_teacher = format!("teacher.path={:?}", student.display().to_string());
    let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &[as_teacher], &sections()).unwrap();
    let refused = Distillation::open(&loaded).err().unwrap();
    assert!(refused.to_string().contains("is a student, distilled from digits-sdxl"), "{refused}");
}

/// Every file, but for what the clock says and the lock.
fn files(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_path_buf();
        if path.is_dir() {
            files(&path, root, found);
        } else if let Some(bytes) = events::lasting(name.to_str().unwrap(), std::fs::read(path).unwrap()) {
            found.insert(name, bytes);
        }
    }
}

#[test]
fn a_short_job_leaves_a_student_twice_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let path = folder.path().join(name);
        run(&path, false).unwrap();
        let mut found = BTreeMap::new();
        files(&path, &path, &mut found);
        found
    });
    let differing: Vec<_> = first.iter().filter(|(name, bytes)| second.get(*name) != Some(bytes)).map(|(name, _)| name).collect();
    assert!(differing.is_empty() && first.len() == second.len(), "{differing:?}");
    for name in [
        "samples.png",
        "loss.png",
        "score.json",
        "manifest.json",
        "bundle/dmdx.json",
        "student/dmdx_student.json",
        "student/README.md",
        "bundle/README.md",
    ] {
        assert!(first.contains_key(Path::new(name)), "{name} is missing");
    }
    // The classifier is more than its description.
    let manifest: serde_json::Value = serde_json::from_slice(&first[Path::new("manifest.json")]).unwrap();
    for file in ["config.json", "model.onnx", "statistics.safetensors"] {
        let bytes = std::fs::read(teacher().join("../digits-classifier").join(file)).unwrap();
        let mut hasher = dmdx_graph::store::hash::Hasher::new();
        hasher.update(&bytes);
        assert_eq!(manifest["inputs"][format!("score.classifier {file}")], hasher.hex(), "{file}");
    }
    let scores: serde_json::Value = serde_json::from_slice(&first[Path::new("score.json")]).unwrap();
    assert!(
        scores["teacher_1"]["frechet"].as_f64().unwrap() > scores["student_1"]["frechet"].as_f64().unwrap_or(f64::NAN) / 100.0
    );

    // What is logged of an iteration, and of the student on the way.
    let lines = read_metrics(&folder.path().join("first/metrics.jsonl")).unwrap();
    let names = |line: usize| lines[line].metrics.keys().map(String::as_str).collect::<Vec<_>>();
    let adp = [
        "brightness",
        "discriminator_accuracy",
        "grad_norm_discriminator_latent",
        "grad_norm_discriminator_pixel",
        "grad_norm_generator",
        "latent_mean",
        "latent_std",
        "loss_discriminator",
        "loss_generator",
        "lr_discriminator_latent",
        "lr_discriminator_pixel",
        "lr_generator",
        "part_discriminator_latent",
        "part_discriminator_pixel",
        "part_generator_latent",
        "part_generator_pixel",
    ];
    // Every iteration is looked at before it is saved, every second one whole.
    let signs = ["picture_brightness", "picture_contrast", "picture_noise", "picture_saturation"];
    assert_eq!(names(0), [&adp[..], &signs, &["spread"]].concat());
    let seen = ["score_colour_accuracy", "score_digit_accuracy", "score_frechet", "spread"];
    assert_eq!(names(1), [&adp[..], &signs, &seen].concat());
    let adm = [
        "adm_gap",
        "discriminator_accuracy",
        "grad_norm_discriminator_latent",
        "grad_norm_fake",
        "grad_norm_generator",
        "guidance_gap",
        "guidance_weight",
        "latent_mean",
        "latent_std",
        "loss_discriminator",
        "loss_fake",
        "loss_generator",
        "lr_discriminator_latent",
        "lr_fake",
        "lr_generator",
    ];
    assert_eq!(names(2), [&adm[..], &signs, &["spread"]].concat());
    for line in &lines[..2] {
        let number = |name: &str| line.metrics[name].unwrap();
        // The recipe's weights, in f32.
        for side in ["generator", "discriminator"] {
            let parts = 0.85 * number(&format!("part_{side}_latent")) + 0.15 * number(&format!("part_{side}_pixel"));
            assert!((number(&format!("loss_{side}")) - parts).abs() < 1e-6, "{side}: {line:?}");
        }
        assert_eq!((number("lr_generator"), number("lr_discriminator_pixel")), (1e-4, 5e-4));
    }
    let adm = |name: &str| lines[2].metrics[name].unwrap();
    assert!((2.5..3.5).contains(&adm("guidance_weight")) && adm("guidance_gap") > 0.0 && adm("adm_gap") > 0.0);
    assert!(first.contains_key(Path::new("samples/adm-000000002.png")) && scores["student_1_after_adp"]["spread"].is_f64());
    let spread = |who: &str| scores[who]["spread"].as_f64().unwrap();
    // Two steps of training leave a grey that hardly depends on the noise.
    assert!(spread("teacher_2") > 0.1 && spread("student_1") < 0.5 * spread("teacher_2"), "{scores}");

    // The student is the teacher byte for byte, but for its scheduler, which stock pipelines draw with, and the UNet's
    // weights, which moved and are 32-bit.
    for place in ["student", "bundle"] {
        let json = |file: &str| -> serde_json::Value { serde_json::from_slice(&first[&Path::new(place).join(file)]).unwrap() };
        let config = json("scheduler/scheduler_config.json");
        assert_eq!(json("model_index.json")["scheduler"], serde_json::json!(["diffusers", "DPMSolverMultistepScheduler"]));
        assert_eq!((&config["prediction_type"], &config["flow_shift"]), (&"flow_prediction".into(), &1e6.into()));
    }
    draws_as_its_bundle_does(&folder.path().join("first"));
    for file in ["unet/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"] {
        assert_eq!(first[&Path::new("student").join(file)], std::fs::read(teacher().join(file)).unwrap(), "{file}");
    }
    let student = import_pipeline(&folder.path().join("first/student"), &ImportOptions::default()).unwrap();
    let original = import_pipeline(&teacher(), &ImportOptions::default()).unwrap();
    let weights = |pipeline: &dmdx_importer::Pipeline, name: &str| {
        pipeline.components["unet"].parts["unet"].params()[name].weight.as_ref().unwrap().to_f32()
    };
    let (new, old) = (weights(&student, "conv_in.weight"), weights(&original, "conv_in.weight"));
    let moved = new.iter().zip(&old).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Two ADP steps of at most 1e-4 √2 each and two of ADM of a tenth, by Adam without momentum.
    assert!(moved > 1e-5 && moved < 5e-4, "the first weights moved by {moved}");
}

/// A run's export replaces bundles, whole, and nothing else: its folder may hold what somebody put there.
#[test]
fn only_a_bundle_is_replaced_by_a_runs_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    run(&path, false).unwrap();
    let bundle = path.join("bundle");
    let tree = |folder: &Path| {
        let mut found = BTreeMap::new();
        files(folder, folder, &mut found);
        found
    };
    let wanted = tree(&bundle);
    std::fs::write(bundle.join("unet/stale"), "x").unwrap();
    std::fs::write(bundle.join("unet/model.onnx"), "half").unwrap();
    run(&path, true).unwrap();
    assert!(tree(&bundle) == wanted, "a bundle is replaced whole");

    std::fs::remove_dir_all(&bundle).unwrap();
    std::fs::create_dir(&bundle).unwrap();
    std::fs::write(bundle.join("letter"), "dear reader").unwrap();
    let error = run(&path, true).unwrap_err();
    let sentence = format!("exporting the student: {} is not an export of this kind and will not be replaced", bundle.display());
    assert!(error.chain().starts_with(&sentence), "{}", error.chain());
    assert_eq!(tree(&bundle), BTreeMap::from([(PathBuf::from("letter"), b"dear reader".to_vec())]));
    let unfinished = std::fs::read_dir(&path).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".part")
    });
    assert_eq!(unfinished.count(), 0);
    std::fs::remove_dir_all(&bundle).unwrap();
    run(&path, true).unwrap();
    assert!(tree(&bundle) == wanted);
}

/// Ten times the pictures are ten times the work, in the same memory. One thread does all of it, so that all is counted.
#[test]
fn memory_of_a_score_does_not_grow_with_its_pictures() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let held = |prompts: usize| {
        let folder = tempfile::tempdir().unwrap();
        let digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
        let lines: String = (0..prompts).map(|index| format!("a red {}\n", digits[index % 10])).collect();
        let list = folder.path().join("prompts.txt");
        std::fs::write(&list, lines).unwrap();
        let text = std::fs::read_to_string(teacher().join("dmdx.toml")).unwrap();
        let mut recipe: toml::Table = text.parse().unwrap();
        recipe.insert(
            "prompts".into(),
            toml::Value::Table([("file".to_string(), list.to_str().unwrap().into())].into_iter().collect()),
        );
        let loaded = LoadedRecipe::parse(&recipe.to_string(), &teacher().join("dmdx.toml"), &[], &sections()).unwrap();
        let job = Distillation::open(&loaded).unwrap();
        let conditions = job.conditions(&folder.path().join("conditions"), &Interrupt::default()).unwrap();
        let set = PictureSet::evaluation(2, prompts);
        let draw = || job.evaluate(Drawer::Teacher { steps: 1 }, &conditions, &set, 60, None).unwrap();
        let (pictures, most) = counting::peak(draw);
        assert_eq!((pictures.values.len(), pictures.score.unwrap().len()), (60 * 3072, 3));
        most
    };
    let (few, many) = pool.install(|| (held(64), held(640)));
    eprintln!("{few} bytes for 64 prompts, {many} for 640");
    // Their pictures alone are 14 MB more. The block of features is not full yet: 0.6 MB, and as much again while it grows.
    assert!(many < few + (2 << 20), "{few} bytes were held for 64 prompts, {many} for 640");
}

/// Velocity teachers with zero terminal signal, as two classes of schedulers keep them: alpha is 0 at the last time, or 2^-12.
#[test]
fn a_velocity_teacher_without_signal_at_the_end_becomes_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    for (class, last) in [("DDIMScheduler", None), ("EulerDiscreteScheduler", Some(1.0 / 16_777_216.0))] {
        let teacher = folder.path().join(class);
        copy(&self::teacher(), &teacher);
        let config = serde_json::json!({
            "_class_name": class,
            "num_train_timesteps": 1000,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": true,
            "timestep_spacing": "trailing",
        });
        std::fs::write(teacher.join("scheduler/scheduler_config.json"), config.to_string()).unwrap();
        let sets = [
            format!("teacher.path={:?}", teacher.display().to_string()),
            "pairs.count=4".into(),
            "pairs.shard=4".into(),
            "pairs.steps=2".into(),
            "adp.iterations=0".into(),
            "adm.iterations=1".into(),
            "adm.batch=2".into(),
            "score.count_per_prompt=1".into(),
            "student.steps=2".into(),
        ];
        let loaded = LoadedRecipe::read(&self::teacher().join("dmdx.toml"), &sets, &sections()).unwrap();
        let run = folder.path().join(format!("{class}-run"));
        work(&loaded, &run, false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
        let bundle = dmdx_runtime::Bundle::open(&run.join("bundle")).unwrap();
        let NoiseSchedule::Table(table) = &bundle.manifest().schedule else { panic!("no table") };
        assert_eq!((table.rescale_betas_zero_snr, table.last_alphas_cumprod), (true, last));
        assert_eq!(bundle.manifest().parameterisation, Parameterisation::VPrediction);

        // What a bundle cannot be made of is said before the first iteration.
        let vae = teacher.join("vae/config.json");
        let text = std::fs::read_to_string(&vae).unwrap().replace("1.43906", "0.0");
        std::fs::write(&vae, text).unwrap();
        let refused = Distillation::open(&loaded).err().unwrap().chain();
        assert!(refused.contains("scaling_factor"), "{refused}");
    }
}

fn copy(from: &Path, to: &Path) {
    let mut found = BTreeMap::new();
    files(from, from, &mut found);
    for (name, bytes) in found {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

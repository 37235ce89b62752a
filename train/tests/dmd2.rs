//! DMD2 and its start on the real networks of the digits teacher, with pictures drawn here.
#![allow(clippy::unwrap_used, missing_docs)]

mod pictures;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_importer::source::SourceOptions;
use dmdx_train::TrainError;
use dmdx_train::data::Pictures;
use dmdx_train::discriminator::unsaturated_loss;
use dmdx_train::job::work::work;
use dmdx_train::job::{Distillation, Models};
use dmdx_train::method::sections;
use dmdx_train::module::{Value, parameter_gradients_of_both};
use dmdx_train::recipe::{Checkpoint, HeadReduce, LoadedRecipe, Unconditional};
use dmdx_train::session::Interrupt;
use dmdx_train::teacher::{Encoder, Teacher};
use dmdx_train::trainer::Checkpoints;
use image::{Rgb, RgbImage, RgbaImage};
use pictures::wave;
use safetensors::SafeTensors;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn recipe(sets: &[&str]) -> Result<LoadedRecipe, TrainError> {
    let common = ["adp.iterations=0", "adm.iterations=0", "export.targets=[]", "score.count_per_prompt=1", "run.sample_every=0"];
    let sets: Vec<String> = common.iter().chain(sets).map(ToString::to_string).collect();
    LoadedRecipe::read(&fixtures().join("digits-sdxl/dmdx.toml"), &sets, &sections())
}

fn opened(sets: &[&str]) -> Result<(LoadedRecipe, Distillation), TrainError> {
    let loaded = recipe(sets)?;
    let job = Distillation::open(&loaded)?;
    Ok((loaded, job))
}

fn run(folder: &Path, resume: bool, sets: &[&str]) -> Result<(), TrainError> {
    let (loaded, job) = opened(sets)?;
    work(&loaded, folder, resume, &Interrupt::default(), &job)
}

const SMALL: [&str; 8] = [
    "dmd2.batch=2",
    "dmd2.lr_generator=1e-4",
    "dmd2.lr_fake=1e-4",
    "dmd2.lr_classifier=1e-3",
    "student.steps=4",
    "student.sampler=renoise",
    "checkpoint.every=2",
    "checkpoint.keep=9",
];

fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_student_of_four_steps_learns_from_real_latents_and_a_stopped_run_ends_with_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let (data, whole) = (root.path().join("data"), root.path().join("whole"));
    std::fs::create_dir(&data).unwrap();
    pictures::draw(&data);
    let path = format!("data.path={}", data.display());
    let sets: Vec<&str> = SMALL.into_iter().chain(["dmd2.iterations=7", "dmd2.ttur=5", "data.shard=4", &path]).collect();
    run(&whole, false, &sets).unwrap();

    // Every fifth iteration from the first on trains the student, every one fake score and classifier.
    let lines = lines(&whole);
    let has = |key: &str| lines.iter().map(|line| line.get(key).is_some()).collect::<Vec<_>>();
    assert_eq!(has("loss_generator"), [true, false, false, false, false, true, false]);
    assert!(has("loss_fake").into_iter().chain(has("loss_classifier")).all(|there| there));
    let end = Checkpoints::new(&whole.join("checkpoints"), &Checkpoint::default()).end_of("dmd2").unwrap().unwrap();
    let counter = |role: &str| end.state.counter(&format!("{role}_optimizer.steps")).unwrap();
    assert_eq!([counter("generator"), counter("fake_score"), counter("classifier_heads")], [2, 7, 7]);

    // Stopped after iteration 4, with an iteration logged that no checkpoint holds, and two pictures not yet encoded.
    let stopped = root.path().join("stopped");
    copy(&whole, &stopped);
    for name in ["00-dmd2-000000006", "00-dmd2-000000007-end"] {
        std::fs::remove_file(stopped.join("checkpoints").join(format!("{name}.safetensors"))).unwrap();
    }
    std::fs::remove_file(stopped.join("latents/latents-00001.safetensors")).unwrap();
    std::fs::remove_file(stopped.join("latents/COMPLETE.json")).unwrap();
    for name in ["student", "samples.png", "loss.png", "score.json"] {
        let path = stopped.join(name);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }
    run(&stopped, true, &sets).unwrap();
    let files = |folder: &Path| {
        let mut names = Vec::new();
        walk(folder, folder, &mut names);
        names.retain(|name| !name.starts_with("tensorboard") && name != "timing.jsonl" && name != "run.lock");
        names
    };
    assert_eq!(files(&whole), files(&stopped));
    for name in files(&whole) {
        assert!(std::fs::read(whole.join(&name)).unwrap() == std::fs::read(stopped.join(&name)).unwrap(), "{name} differs");
    }

    // The same latents, without the pictures, make the same student.
    let alone = root.path().join("alone");
    let latents = format!("data.latents={}", whole.join("latents").display());
    let sets: Vec<&str> = SMALL.into_iter().chain(["dmd2.iterations=7", "dmd2.ttur=5", &latents]).collect();
    run(&alone, false, &sets).unwrap();
    let student = "student/unet/diffusion_pytorch_model.safetensors";
    assert!(std::fs::read(whole.join(student)).unwrap() == std::fs::read(alone.join(student)).unwrap());

    // Of another teacher they are refused before any work, and so they are with other captions.
    let refused = |folder: &str, file: &str, (from, to): (&str, &str), words: &[&str]| {
        let other = root.path().join(folder);
        copy(&whole.join("latents"), &other);
        let text = std::fs::read_to_string(other.join(file)).unwrap();
        assert!(text.contains(from));
        std::fs::write(other.join(file), text.replacen(from, to, 1)).unwrap();
        let latents = format!("data.latents={}", other.display());
        let error = opened(&["dmd2.iterations=1", &latents]).map(drop).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let teacher = ("\"teacher_sha256\": \"", "\"teacher_sha256\": \"0");
    refused("other teacher", "COMPLETE.json", teacher, &["real latents", "teacher_sha256"]);
    refused("other captions", "captions.jsonl", ("red", "blue"), &["captions.jsonl", "other captions"]);

    // A picture that was changed since is noticed.
    RgbImage::from_pixel(32, 32, Rgb([7; 3])).save(data.join("3.png")).unwrap();
    let sets: Vec<&str> = SMALL.into_iter().chain(["dmd2.iterations=7", "dmd2.ttur=5", "data.shard=4", &path]).collect();
    let error = run(&whole, true, &sets).unwrap_err().to_string();
    assert!(error.contains("input data.path"), "{error}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => assert!(std::fs::copy(&path, to.join(name)).is_ok()),
        }
    }
}

fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => walk(root, &path, names),
            false => names.push(path.strip_prefix(root).unwrap().display().to_string()),
        }
    }
}

/// The classifier's loss trains its heads and the fake score as far as they tap it, and nothing behind that.
#[test]
fn the_classifier_reaches_the_fake_score_up_to_its_tap() {
    let root = tempfile::tempdir().unwrap();
    pictures::draw(root.path());
    let path = format!("data.path={}", root.path().display());
    let reached = |tap: &[String]| {
        let (_, job) = opened(&["dmd2.iterations=1", &path]).unwrap();
        let materials = job.materials();
        let classifier = materials.classifier("dmd2", tap, 1e-3).unwrap();
        let fake_score = materials.fake_score(1e-3).unwrap();
        let network = materials.teacher.denoiser.with_module(fake_score.module.clone());
        let conditions = job.conditions(&root.path().join("conditions"), &Interrupt::default()).unwrap();
        // A prompt, and the first caption behind the prompts.
        let (fake, real) = (conditions.conditional(&[0]).unwrap(), conditions.conditional(&[60]).unwrap());
        let sample = |value: f32| {
            let values = (0..256).map(|i| value * ((i * 29 % 17) as f32 / 9.0 - 0.9)).collect();
            Value::float(values, &[1, 4, 8, 8], &Device::flex()).unwrap()
        };
        let logits_fake = classifier.logits(&network, &sample(1.0), &[400.0], &fake).unwrap();
        let logits_real = classifier.logits(&network, &sample(0.5), &[200.0], &real).unwrap();
        let loss = unsaturated_loss(&logits_fake, &logits_real, HeadReduce::Mean).unwrap();
        drop(network);
        let heads = &classifier.heads.trained.module;
        let gradients = parameter_gradients_of_both(loss, &fake_score.module, heads);
        let names = gradients.map(|gradients| gradients.iter().map(|(name, _)| name.to_string()).collect::<BTreeSet<_>>());
        let all = fake_score.module.weights().unwrap().into_keys().collect::<BTreeSet<_>>();
        (names, all, heads.weights().unwrap().into_keys().collect::<BTreeSet<_>>())
    };
    let ([fake, heads], all, all_heads) = reached(&[]);
    let behind = |name: &&String| ["up_blocks", "conv_norm_out", "conv_out"].iter().any(|part| name.starts_with(part));
    let wanted: BTreeSet<String> = all.iter().filter(|name| !behind(name)).cloned().collect();
    assert!(wanted.len() > 50 && wanted.len() < all.len());
    assert_eq!(fake, wanted);
    assert_eq!(heads, all_heads);
    // Another tap ends earlier.
    let ([fake, _], ..) = reached(&["down_blocks.0.resnets.0".to_string()]);
    assert!(fake.iter().all(|name| !name.starts_with("mid_block") && !name.starts_with("down_blocks.1")), "{fake:?}");
}

/// Pillow and diffusers are the reference. A level of a pixel is 1/255 of its range; latents are of the same pixels.
#[test]
fn pictures_are_fitted_and_encoded_as_by_pillow_and_diffusers() {
    let bytes = std::fs::read(fixtures().join("real-latents/expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = expected.tensor(name).unwrap().data().to_vec();
        data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let rgb = |x, y| Rgb([0, 1, 2].map(|channel| wave(x, y, channel)));
    RgbImage::from_fn(45, 37, rgb).save(folder.path().join("a.png")).unwrap();
    RgbImage::from_fn(21, 27, rgb).save(folder.path().join("b.png")).unwrap();
    let rgba = |x, y| image::Rgba([0, 1, 2, 3].map(|channel| wave(x, y, channel)));
    RgbaImage::from_fn(80, 129, rgba).save(folder.path().join("c.png")).unwrap();
    ["a.txt", "b.txt", "c.txt"].into_iter().for_each(|name| std::fs::write(folder.path().join(name), "waves").unwrap());
    let found = Pictures::open(folder.path()).unwrap();
    let pixels: Vec<f32> = found.starting(0, [32, 32]).unwrap().collect::<Result<Vec<_>, _>>().unwrap().concat();
    let reference = expected.tensor("pixels").unwrap().data().iter().map(|&level| f32::from(level) / 127.5 - 1.0);
    let reference: Vec<f32> = reference.collect();
    let worst = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let (off, count) = (worst(&pixels, &reference), pixels.len());
    let different = pixels.iter().zip(&reference).filter(|(a, b)| (*a - *b).abs() > 1e-6).count();
    eprintln!("pixels: at most {off} apart, {different} of {count} differ");
    assert_eq!(pixels.len(), reference.len());
    // Pillow rounds to whole levels between columns and rows, image only at the end.
    assert!(off <= 1.01 / 127.5, "{off}");

    let teacher =
        Teacher::open(&fixtures().join("digits-sdxl"), &SourceOptions::default(), Unconditional::Auto, &Device::flex()).unwrap();
    let encoder = Encoder::of(&teacher);
    let mode = encoder.latents(3, reference.clone(), None).unwrap();
    let drawn = encoder.latents(3, reference, Some(floats("noise"))).unwrap();
    let (mode, drawn) = (worst(&mode, &floats("mode")), worst(&drawn, &floats("drawn")));
    eprintln!("latents: at most {mode} apart, drawn {drawn}");
    assert!(mode < 1e-4 && drawn < 1e-4, "{mode}, {drawn}");
    assert!(worst(&floats("mode"), &floats("drawn")) > 0.1, "a draw is not the mode");
}

/// What cannot end well is refused before anything is loaded or collected, in one sentence.
#[test]
fn recipes_that_cannot_end_well_are_refused() {
    let root = tempfile::tempdir().unwrap();
    pictures::draw(root.path());
    let path = format!("data.path={}", root.path().display());
    let refused = |sets: &[&str], words: &[&str]| {
        let error = opened(sets).map(drop).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(&["dmd2.iterations=1"], &["recipe's data is missing", "dmd2 learns from real latents"]);
    // Before the teacher is looked for.
    refused(&["dmd2.iterations=1", "teacher.path=nowhere"], &["data is missing"]);
    refused(&["dmd2.iterations=1", "data.dtype=f32"], &["data must have path", "or latents"]);
    refused(&["dmd2.iterations=1", "data.path=nowhere"], &["nowhere", "cannot be read"]);
    refused(&["dmd2.iterations=1", "data.latents=."], &["no complete set of latents"]);
    refused(&["dmd2.iterations=1", &path, "dmd2.taps=[\"mid_blok\"]"], &["dmd2.taps", "mid_blok", "no module"]);
    refused(&["dmd2.iterations=1", &path, "dmd2.t_min=990"], &["dmd2.t_min", "below t_max"]);
    refused(&["regression.iterations=1"], &["regression.perceptual is missing", "\"mse\""]);
    refused(&["regression.iterations=1", "regression.loss=mse", "student.steps=2"], &["regression.iterations", "2 steps"]);
    refused(
        &["regression.iterations=1", "regression.loss=mse", "student.guidance_offset=2"],
        &["student.guidance_offset", "no guided student"],
    );
    refused(&["regression.iterations=1", "regression.perceptual=nowhere"], &["nowhere", "cannot be read"]);
    let other = fixtures().join("digits-sdxl/vae/diffusion_pytorch_model.safetensors");
    let other = format!("regression.perceptual={}", other.display());
    refused(&["regression.iterations=1", &other], &["regression.perceptual cannot be used", "conv.0.0.weight"]);
}

/// LPIPS of narrow layers, under the names of torchvision and of the lpips package.
fn perceptual(path: &Path) {
    let widths = [4usize, 4, 4, 4, 4];
    let numbers: [&[usize]; 5] = [&[0, 2], &[5, 7], &[10, 12, 14], &[17, 19, 21], &[24, 26, 28]];
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, base: f32, range: f32| {
        let count: usize = shape.iter().product();
        let value = |i: usize| base + range * (((i * 37 + name.len() * 11) % 41) as f32 / 20.0 - 1.0);
        let bytes = (0..count).flat_map(|i| value(i).to_le_bytes()).collect();
        tensors.push((name, shape, bytes));
    };
    let mut channels = 3;
    for (stage, (width, numbers)) in widths.into_iter().zip(numbers).enumerate() {
        for number in numbers {
            let fan = (channels * 9) as f32;
            add(format!("features.{number}.weight"), vec![width, channels, 3, 3], 0.0, (6.0 / fan).sqrt());
            add(format!("features.{number}.bias"), vec![width], 0.5, 0.1);
            channels = width;
        }
        add(format!("lin{stage}.model.1.weight"), vec![1, width, 1, 1], 0.3, 0.2);
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The start of a one-step student: its loss falls on one pair, and DMD2 goes on from it.
#[test]
fn a_one_step_student_begins_by_regression_and_goes_on_by_dmd2() {
    let root = tempfile::tempdir().unwrap();
    pictures::draw(root.path());
    let path = format!("data.path={}", root.path().display());
    perceptual(&root.path().join("vgg.safetensors"));
    let vgg = format!("regression.perceptual={}", root.path().join("vgg.safetensors").display());
    for loss in ["lpips", "mse"] {
        let loss_key = format!("regression.loss={loss}");
        let folder = root.path().join(loss);
        let sets = [
            "pairs.count=1",
            "pairs.steps=2",
            "student.times=[399]",
            "regression.iterations=8",
            "regression.batch=2",
            "regression.lr_generator=2e-4",
            &loss_key,
            &vgg,
            "dmd2.iterations=1",
            "dmd2.batch=2",
            "dmd2.lr_generator=1e-5",
            &path,
        ];
        run(&folder, false, &sets).unwrap();
        let lines = lines(&folder);
        let losses: Vec<f64> = lines.iter().filter_map(|line| line["loss_generator"].as_f64()).collect();
        assert_eq!((lines.len(), losses.len()), (9, 9));
        assert!(losses[7] < 0.9 * losses[0], "{loss}: {losses:?}");
        let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
        assert!(manifest.contains("regression.perceptual") && manifest.contains("\"data.path\""));
        let student = std::fs::read_to_string(folder.join("student/dmdx_student.json")).unwrap();
        assert!(student.contains("399"), "{student}");
        let weights = |phase: &str| {
            let checkpoints = Checkpoints::new(&folder.join("checkpoints"), &Checkpoint::default());
            checkpoints.end_of(phase).unwrap().unwrap().state.tensor("generator.conv_in.weight").unwrap()
        };
        // One step of Adam without a first moment moves every weight by the rate.
        let (before, after) = (weights("regression"), weights("dmd2"));
        let moved = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(moved > 1e-6 && moved < 1.1e-5, "the first weights moved by {moved}");
    }
}

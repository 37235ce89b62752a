//! The whole road of a teacher of videos: a recipe goes in, a bundle comes out that films what the student's checkpoint does.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dmdx_runtime::bundle::Bundle;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::pipeline::Pipeline;
use dmdx_runtime::pipeline::picture::quantise;
use dmdx_runtime::{StudentInfo, noise};
use image::AnimationDecoder;
use image::codecs::png::PngDecoder;
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").canonicalize().unwrap()
}

const PROMPTS: &str = r#"
[prompts]
template = "a {colour} {digit}"
values = { colour = ["red", "green"], digit = ["zero", "one", "two"] }
"#;

/// A recipe in `folder` with these sections besides teacher and prompts.
fn recipe(folder: &Path, teacher: &Path, sections: &str) -> PathBuf {
    let path = folder.join("recipe.toml");
    let teacher = format!("[teacher]\npath = {teacher:?}\nguidance = [4, 6]\n");
    std::fs::write(&path, format!("{teacher}{PROMPTS}{sections}")).unwrap();
    path
}

/// A guided student of two steps, after the paper's variant for videos.
fn guided() -> String {
    let classifier = fixtures().join("video-classifier");
    format!(
        "[student]\nsteps = 2\nguidance_offset = 2.0\n[pairs]\nsteps = 3\n\
         [discriminator]\nhead_width = 8\nhead_groups = 2\nhead_min_size = 2\n\
         [adm]\niterations = 4\nbatch = 2\ndt_steps = 125\nlr_generator = 1e-5\n\
         [checkpoint]\nevery = 1\n[export]\ntargets = [\"compat\"]\n\
         [score]\nclassifier = {classifier:?}\ncount_per_prompt = 2\n\
         [run]\nthreads = 2\nsample_every = 2\nsample_count = 2\n"
    )
}

fn train(recipe: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmdx-train"));
    command.arg(recipe).arg("--out").arg(out).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn refused(recipe: &Path, more: &[&str], words: &[&str]) {
    let out = recipe.with_file_name("refused");
    let output = train(recipe, &out, more).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(words.iter().all(|word| text.contains(word)) && text.trim().lines().count() == 1, "{text}");
    assert!(!out.exists(), "{text}");
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The frames of an animated PNG file as RGB.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let decoder = PngDecoder::new(std::io::Cursor::new(std::fs::read(path).unwrap())).unwrap();
    assert!(decoder.is_apng().unwrap());
    let frames = decoder.apng().unwrap().into_frames();
    frames.map(|frame| image::DynamicImage::from(frame.unwrap().into_buffer()).to_rgb8().into_raw()).collect()
}

#[test]
fn a_guided_student_of_videos_is_trained_exported_and_drawn() {
    let root = tempfile::tempdir().unwrap();
    let recipe = recipe(root.path(), &fixtures().join("pipelines/cogvideox"), &guided());
    let run = root.path().join("run");
    finish(&mut train(&recipe, &run, &[]));

    // What people look at: a sheet of stills, and the same moving.
    let stills = image::open(run.join("samples.png")).unwrap().to_rgb8();
    let moving = frames(&run.join("animation.png"));
    assert_eq!(moving.len(), 9);
    assert!(moving.windows(2).any(|pair| pair[0] != pair[1]), "nothing moves");
    // Two videos of nine frames side by side, of 48 pixels each, with a gap between them; labels may be longer.
    assert!(stills.width() >= 2 * 9 * 48 + 8);
    let column = |x: u32| (24..56).map(|y| stills.get_pixel(x, y).0).collect::<Vec<_>>();
    assert!((432..440).all(|x| column(x) == [[255; 3]; 32]) && column(440) != [[255; 3]; 32]);
    let looks = std::fs::read_dir(run.join("samples")).unwrap().count();
    assert_eq!(looks, 2);
    let scores = json(&run.join("score.json"));
    for who in ["teacher_3", "teacher_1", "student_2"] {
        for number in ["digit_accuracy", "colour_accuracy", "drift_entropy", "frechet", "spread"] {
            assert!(scores[who][number].is_number(), "{who} has no {number}: {scores}");
        }
        assert!(scores[who]["spread"].as_f64().unwrap() > 0.0);
    }

    // What the student is, for other programs: the paper's offset, and CogVideoX's own scheduler.
    let info = StudentInfo::read(&run.join("student")).unwrap().unwrap();
    let guidance = info.guidance.unwrap();
    assert_eq!((guidance.default, guidance.range, info.steps.as_slice()), (3.0, [2.0, 4.0], &[999.0, 499.0][..]));
    assert_eq!(json(&run.join("student/scheduler/scheduler_config.json"))["_class_name"], "CogVideoXDDIMScheduler");
    let card = std::fs::read_to_string(run.join("student/README.md")).unwrap();
    assert!(card.contains("num_inference_steps=2, guidance_scale=3).frames[0]"), "{card}");
    assert!(card.contains("pipeline_tag: text-to-video"), "{card}");

    // The bundle alone films what the student's checkpoint films.
    let film = root.path().join("film.apng");
    let mut sample = Command::new(env!("CARGO_BIN_EXE_dmdx-train"));
    sample.arg("sample").arg(run.join("student")).args(["--prompt", "a green two", "--seed", "3", "-o"]).arg(&film);
    finish(&mut sample);
    let bundle = Bundle::open(&run.join("bundle")).unwrap();
    let pipeline = Pipeline::open(&bundle, &TractEngine::new(2)).unwrap();
    let start = noise::latents(3, 0, 1, pipeline.latent_shape()).unwrap();
    let video = pipeline.generate(&["a green two".to_string()], &start, &|_| {}).unwrap();
    assert_eq!(video.shape(), [1, 9, 3, 32, 48]);
    let checkpoints = frames(&film);
    let pixels = 32 * 48;
    for (frame, checkpoints) in video.floats().unwrap().chunks(3 * pixels).zip(&checkpoints) {
        for (index, &byte) in checkpoints.iter().enumerate() {
            let own = quantise(frame[index % 3 * pixels + index / 3]);
            assert!(own.abs_diff(byte) <= 1, "{own} is not {byte}");
        }
    }

    // Killed after an iteration and resumed, the run ends with the same weights.
    let killed = root.path().join("killed");
    let mut child = train(&recipe, &killed, &[]).stderr(Stdio::null()).spawn().unwrap();
    let checkpoints = killed.join("checkpoints");
    while child.try_wait().unwrap().is_none() && std::fs::read_dir(&checkpoints).map_or(0, Iterator::count) < 2 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    finish(&mut train(&recipe, &killed, &["--resume"]));
    for name in ["student/transformer/diffusion_pytorch_model.safetensors", "samples.png", "animation.png", "score.json"] {
        assert!(std::fs::read(run.join(name)).unwrap() == std::fs::read(killed.join(name)).unwrap(), "{name} differs");
    }
}

/// The methods that know nothing of videos, on the same teacher: pairs and the line, heads on volumes, one step.
#[test]
fn every_generic_method_trains_on_videos() {
    let root = tempfile::tempdir().unwrap();
    let common = "[pairs]\ncount = 4\nsteps = 3\n[discriminator]\nhead_width = 8\nhead_groups = 2\nhead_min_size = 2\n\
                  [run]\nthreads = 2\nsample_every = 0\n";
    let phases = [
        ("adp-adm", "[adp]\niterations = 2\nbatch = 2\nlambda_pixel = 0\n[adm]\niterations = 2\nbatch = 2\ndt_steps = 125\n"),
        ("reflow-dmd", "[reflow]\niterations = 2\nbatch = 2\n[dmd]\niterations = 2\nbatch = 2\n"),
    ];
    for (name, sections) in phases {
        let folder = root.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let recipe = recipe(&folder, &fixtures().join("pipelines/cogvideox"), &format!("{common}{sections}"));
        finish(&mut train(&recipe, &folder.join("run"), &[]));
        let info = StudentInfo::read(&folder.join("run/student")).unwrap().unwrap();
        assert_eq!(info.steps, [999.0]);
        let metrics = std::fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().count(), 4, "{metrics}");
    }
}

/// What would fail at the end is refused at the start.
#[test]
fn what_videos_cannot_have_is_refused_before_anything_is_trained() {
    let root = tempfile::tempdir().unwrap();
    let teacher = fixtures().join("pipelines/cogvideox");
    let videos = recipe(root.path(), &teacher, &guided());
    let pictures = fixtures().join("digits-classifier").display().to_string();
    let classifier = format!("score.classifier={pictures}");
    let words = ["score.classifier judges pictures, but the teacher makes videos of 9 frames"];
    refused(&videos, &["--set", &classifier], &words);
    let sam = format!("discriminator.pixel.path={}", fixtures().join("digits-sam").display());
    refused(&videos, &["--set", &sam], &["discriminator.pixel reads pictures", "adp.lambda_pixel = 0"]);

    // A network that predicts noise has no step from pure noise: neither the teacher's own, nor the student's.
    let place = root.path().join("eps");
    copy(&teacher, &place);
    let config = place.join("scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("v_prediction", "epsilon");
    std::fs::write(&config, text).unwrap();
    let undefined = recipe(root.path(), &place, &guided().replace("steps = 2", "times = [749, 499]"));
    refused(&undefined, &[], &["pairs.steps is 3, which the teacher cannot make", "alpha is 0"]);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &place),
            false => std::fs::write(place, std::fs::read(&path).unwrap()).unwrap(),
        }
    }
}

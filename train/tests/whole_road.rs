//! The whole road by the real binary: a recipe goes in, a bundle comes out; killed anywhere it ends with the same
//! bytes; and every engine draws the same picture.
#![allow(missing_docs, clippy::unwrap_used)]

mod events;
mod files;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use dmdx_importer::source::SourceOptions;
use dmdx_runtime::bundle::Bundle;
use dmdx_runtime::engine::Engine;
use dmdx_runtime::engine::locate::locate;
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::pipeline::Pipeline;
use dmdx_runtime::student::StudentInfo;
use dmdx_train::data::{ConditionPlan, Prompts};
use dmdx_train::diffusion::Generator;
use dmdx_train::recipe::{PairDtype, Unconditional};
use dmdx_train::session::Interrupt;
use dmdx_train::teacher::{Portion, Teacher, student_latents};

use files::{assert_same, contents};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").canonicalize().unwrap()
}

/// The digits recipe, small enough for a test.
fn dmdx_train(out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmdx-train"));
    command.arg(fixtures().join("digits-sdxl/dmdx.toml")).arg("--out").arg(out);
    let small = [
        "pairs.count=12",
        "pairs.shard=4",
        "pairs.steps=3",
        "adp.iterations=12",
        "adp.batch=4",
        "adm.iterations=10",
        "adm.batch=4",
        "checkpoint.every=3",
        "score.count_per_prompt=1",
        "run.sample_every=5",
        "run.sample_count=3",
        "run.threads=2",
    ];
    for set in small {
        command.arg("--set").arg(set);
    }
    command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn finish(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_run_killed_anywhere_ends_with_the_same_bytes_and_engines_draw_the_same_picture() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    let started = Instant::now();
    finish(dmdx_train(&whole, &[]));
    let duration = started.elapsed();

    // Killed again and again, each time after a part of what a whole run takes, and then left to finish.
    let killed = root.path().join("killed");
    let mut kills = 0;
    for part in [0.15, 0.3, 0.2, 0.25, 0.35, 0.3] {
        let resume: &[&str] = if killed.exists() { &["--resume"] } else { &[] };
        let mut child = dmdx_train(&killed, resume).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(duration.mul_f64(part) + Duration::from_millis(7));
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "the run ended before it could be killed");
    finish(dmdx_train(&killed, &["--resume"]));
    assert_same(&whole, &killed);

    same_picture(&whole, "digits-sdxl", &[4, 8, 8], &SourceOptions::default());
    sentences(&whole);
}

/// A flow student of four steps, whose teacher reads 16 tokens of T5 and not diffusers' 256: its student and its bundle do so
/// without being told.
#[test]
fn every_engine_draws_the_same_picture_with_a_flow_student_of_four_steps() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmdx-train"));
    command.arg(fixtures().join("digits-sd3/adm-4.toml")).arg("--out").arg(&run);
    for set in [
        "pairs.count=8",
        "pairs.shard=8",
        "pairs.steps=3",
        "reflow.iterations=2",
        "reflow.batch=4",
        "adm.iterations=2",
        "adm.batch=4",
        "score.count_per_prompt=1",
        "run.sample_every=0",
        "run.threads=2",
    ] {
        command.arg("--set").arg(set);
    }
    finish(command);
    let sixteen = SourceOptions { max_sequence_length: Some(16), ..SourceOptions::default() };
    same_picture(&run, "digits-sd3", &[16, 8, 8], &sixteen);
    let info = StudentInfo::read(&run.join("student")).unwrap().unwrap();
    assert_eq!(info.steps, [1000.0, 900.0, 750.0, 500.0]);
    let card = std::fs::read_to_string(run.join("student/README.md")).unwrap();
    assert!(card.contains("num_inference_steps=4, guidance_scale=1, max_sequence_length=16)"), "{card}");
    // No teacher in more steps than the recipe's own.
    let scores = std::fs::read_to_string(run.join("score.json")).unwrap();
    assert!(
        scores.contains("\"student_4\"") && scores.contains("\"teacher_3\"") && !scores.contains("\"teacher_4\""),
        "{scores}"
    );
}

/// Burn, tract and, where it is found, ONNX Runtime draw the same pictures from the same noise: at most 1e-3 of the
/// pixel range (2) apart.
fn same_picture(run: &Path, teacher: &str, latent_shape: &[usize], reading: &SourceOptions) {
    let prompts = ["a red seven".to_string(), "a blue four".to_string()];
    let noise = dmdx_runtime::noise::latents(1, 0, prompts.len(), latent_shape).unwrap();
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let place = in_a_teachers_place(run, teacher, folder.path());
    let student = Teacher::open(&place, reading, Unconditional::Auto, &device).unwrap();
    let listed = Prompts::list(prompts.to_vec());
    let plan = ConditionPlan {
        teacher_sha256: "student".to_string(),
        prompts_sha256: listed.sha256().unwrap(),
        prompt_count: listed.len(),
        encoding: student.pipeline.class.clone(),
        unconditional: student.unconditional,
        dtype: PairDtype::F32,
        shard_bytes: ConditionPlan::SHARD_BYTES,
    };
    let conditions = student.conditions(folder.path(), &plan, &listed, &Interrupt::default()).unwrap();
    let info = StudentInfo::read(&run.join("student")).unwrap().unwrap();
    let walk = Generator::new(&student.denoiser, &info.rollout().unwrap());
    let portion = Portion { first: 0, latent_shape, noise: noise.floats().unwrap(), prompts: &[0, 1] };
    let latents = student_latents(&walk, &conditions, None, 0, &portion).unwrap();
    let burn = student.pictures(&latents).unwrap();

    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(TractEngine::new(1))];
    match locate(None) {
        Ok(library) => engines.push(Box::new(OrtEngine::new(&library, 1).unwrap())),
        Err(error) => eprintln!("skipped ONNX Runtime: {error}"),
    }
    let bundle = Bundle::open(&run.join("bundle")).unwrap();
    for engine in engines {
        let pipeline = Pipeline::open(&bundle, engine.as_ref()).unwrap();
        let pictures = pipeline.generate(&prompts, &noise, &|_| {}).unwrap();
        let worst = pictures.floats().unwrap().iter().zip(&burn).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(pictures.floats().unwrap().len(), burn.len());
        assert!(worst <= 2e-3, "{} is {worst} away from Burn", engine.name());
        eprintln!("{}: at most {worst:.1e} from Burn", engine.name());
    }
}

/// The student's networks with its teacher's scheduler: a student as it is written is no teacher.
fn in_a_teachers_place(run: &Path, teacher: &str, folder: &Path) -> PathBuf {
    let place = folder.join("networks");
    let own = contents(&run.join("student")).into_iter().filter(|(name, _)| name != "dmdx_student.json");
    let teachers = ["model_index.json", "scheduler/scheduler_config.json"]
        .map(|name| (name.to_string(), std::fs::read(fixtures().join(teacher).join(name)).unwrap()));
    for (name, bytes) in own.chain(teachers) {
        std::fs::create_dir_all(place.join(&name).parent().unwrap()).unwrap();
        std::fs::write(place.join(&name), bytes).unwrap();
    }
    place
}

/// What people do wrong with a run folder or a recipe gets one sentence and the right exit code.
fn sentences(run: &Path) {
    let fails = |out: &Path, more: &[&str], code: i32, words: &[&str]| {
        let output = dmdx_train(out, more).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert_eq!(text.trim().lines().count(), 1, "{text}");
    };
    let before = contents(run);
    fails(run, &[], 1, &["--resume"]);
    fails(run, &["--resume", "--set", "adp.batch=5"], 1, &["adp.batch"]);
    assert_eq!(contents(run), before, "a refused run touched its folder");
    let absent = run.join("absent");
    fails(&absent, &["--resume"], 1, &["absent"]);
    fails(&absent, &["--set", "adp.bach=5"], 1, &["bach"]);
    fails(&absent, &["--set", "adm.t_min=990"], 1, &["t_min"]);
    fails(&absent, &["--set", "teacher.path=nowhere"], 1, &["nowhere"]);
    fails(&absent, &["--set", "run.device=cuda"], 3, &["CUDA"]);
    assert!(!absent.exists());
}

//! Methods on the real networks of the digits teacher, a few iterations long.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use dmdx_importer::{ImportOptions, import_pipeline};
use dmdx_train::job::Distillation;
use dmdx_train::job::work::work;
use dmdx_train::method::sections;
use dmdx_train::recipe::LoadedRecipe;
use dmdx_train::session::Interrupt;

fn teacher() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/digits-sdxl")
}

/// The rectified-flow baseline alone: one pair, learnt by heart, and a student that is one step on the line.
#[test]
fn rectified_flow_brings_the_student_to_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let sets = [
        "pairs.count=1",
        "pairs.steps=2",
        "reflow.iterations=12",
        "reflow.batch=2",
        "reflow.lr_generator=2e-4",
        "adp.iterations=0",
        "adm.iterations=0",
        "score.count_per_prompt=1",
        "checkpoint.every=6",
    ];
    let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets.map(String::from), &sections()).unwrap();
    work(&loaded, folder.path(), false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
    let text = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss_generator"].as_f64().unwrap())
        .collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert_eq!(losses.len(), 12);
    assert!(mean(&losses[8..]) < 0.9 * mean(&losses[..4]), "{losses:?}");
    let student: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("student/dmdx_student.json")).unwrap()).unwrap();
    assert!(student.to_string().contains("line_velocity"), "{student}");
}

/// Two phases of which the second continues the first one's student: it moves no further than Adam's first steps can.
#[test]
fn distribution_matching_continues_a_student() {
    let folder = tempfile::tempdir().unwrap();
    let student = |name: &str, iterations: usize| {
        let path = folder.path().join(name);
        let dmd = format!("dmd.iterations={iterations}");
        let sets = [
            "pairs.count=2",
            "pairs.steps=2",
            "reflow.iterations=2",
            "reflow.batch=2",
            "reflow.lr_generator=1e-4",
            "adp.iterations=0",
            "adm.iterations=0",
            "dmd.batch=2",
            "dmd.ttur=2",
            "dmd.fake_train_source=same_as_generator",
            "dmd.lr_generator=1e-5",
            "dmd.lr_fake=1e-4",
            "score.count_per_prompt=1",
            &dmd,
        ];
        let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets.map(String::from), &sections()).unwrap();
        work(&loaded, &path, false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
        let student = import_pipeline(&path.join("student"), &ImportOptions::default()).unwrap();
        student.components["unet"].parts["unet"].params()["conv_in.weight"].weight.as_ref().unwrap().to_f32()
    };
    let (before, after) = (student("reflow", 0), student("dmd", 2));
    let moved = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(moved > 1e-6 && moved < 4e-5, "the first weights moved by {moved}");
    let metrics = std::fs::read_to_string(folder.path().join("dmd/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().filter(|line| line.contains(r#""phase":"dmd""#) && line.contains("loss_fake")).count(), 2);
}

/// Both begin with the teacher: the second would throw away what the first has learnt.
#[test]
fn rectified_flow_and_pretraining_exclude_each_other() {
    let sets = ["reflow.iterations=1".to_string()];
    let error = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap_err().to_string();
    assert!(error.contains("reflow.iterations") && error.contains("leave one out"), "{error}");
}

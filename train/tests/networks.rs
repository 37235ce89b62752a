//! The whole job on the real networks of the digits teacher, a few iterations long: what it leaves, and that it leaves
//! the same bytes twice.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
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

fn run(folder: &Path) {
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
    ];
    let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets.map(String::from), &sections()).unwrap();
    work(&loaded, folder, false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
}

/// Every file but the clock's and the lock.
fn files(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_path_buf();
        if path.is_dir() {
            files(&path, root, found);
        } else if name != Path::new("timing.jsonl") && name != Path::new("run.lock") {
            found.insert(name, std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn a_short_job_leaves_a_student_twice_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let path = folder.path().join(name);
        run(&path);
        let mut found = BTreeMap::new();
        files(&path, &path, &mut found);
        found
    });
    let differing: Vec<_> = first.iter().filter(|(name, bytes)| second.get(*name) != Some(bytes)).map(|(name, _)| name).collect();
    assert!(differing.is_empty() && first.len() == second.len(), "{differing:?}");
    for name in ["samples.png", "loss.png", "score.json", "manifest.json", "bundle/dmdx.json", "student/dmdx_student.json"] {
        assert!(first.contains_key(Path::new(name)), "{name} is missing");
    }
    let scores: serde_json::Value = serde_json::from_slice(&first[Path::new("score.json")]).unwrap();
    assert!(
        scores["teacher_1"]["frechet"].as_f64().unwrap() > scores["student_1"]["frechet"].as_f64().unwrap_or(f64::NAN) / 100.0
    );

    // The student is the teacher byte for byte, but for the UNet's weights, which moved and are 32-bit.
    for file in ["model_index.json", "unet/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"] {
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

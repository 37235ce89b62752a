//! Methods on the real networks of the digits teacher, a few iterations long.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_importer::{ImportOptions, LoraFile, import_pipeline};
use dmdx_train::job::Distillation;
use dmdx_train::job::work::work;
use dmdx_train::method::sections;
use dmdx_train::recipe::LoadedRecipe;
use dmdx_train::session::Interrupt;
use dmdx_train::session::logs::read_metrics;
use dmdx_train::store::tensor_file::TensorFile;
use safetensors::SafeTensors;

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

/// While the fake score is warmed up nothing else is trained; then the student moves, and where to is a matter of the phase's
/// own guidance.
#[test]
fn the_fake_score_is_warmed_up_alone() {
    let folder = tempfile::tempdir().unwrap();
    let student = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let fixed = [
            "pairs.count=2",
            "pairs.steps=2",
            "reflow.iterations=1",
            "reflow.batch=2",
            "reflow.lr_generator=1e-4",
            "adp.iterations=0",
            "adm.batch=2",
            "score.count_per_prompt=1",
            "run.sample_every=0",
            "export.targets=[]",
        ];
        let sets: Vec<String> = fixed.iter().chain(more).map(|set| (*set).to_string()).collect();
        let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap();
        work(&loaded, &path, false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
        let student = import_pipeline(&path.join("student"), &ImportOptions::default()).unwrap();
        let weights = student.components["unet"].parts["unet"].params()["conv_in.weight"].weight.as_ref().unwrap().to_f32();
        let lines = read_metrics(&path.join("metrics.jsonl")).unwrap().into_iter().filter(|line| line.phase == "adm");
        (weights, lines.map(|line| line.metrics.contains_key("loss_generator")).collect::<Vec<_>>())
    };
    let (before, _) = student("before", &["adm.iterations=0"]);
    let warm = ["adm.fake_warmup_steps=2", "adm.guidance=[2.5, 3.5]"];
    assert_eq!(student("warm", &[&warm[..], &["adm.iterations=2"]].concat()), (before.clone(), vec![false; 2]));
    let (guided, trained) = student("guided", &[&warm[..], &["adm.iterations=4"]].concat());
    assert!(guided != before && trained == [false, false, true, true]);
    let (other, _) = student("other", &["adm.fake_warmup_steps=2", "adm.iterations=4", "adm.guidance=[0.5, 1.0]"]);
    assert!(other != guided);
    let sets = ["adp.iterations=0", "student.guidance_offset=1", "adm.guidance=[1, 2]"].map(String::from);
    let error = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap_err().to_string();
    assert!(error.contains("adm.guidance") && error.contains("student.guidance_offset"), "{error}");
}

/// Both begin with the teacher: the second would throw away what the first has learnt.
#[test]
fn rectified_flow_and_pretraining_exclude_each_other() {
    let sets = ["reflow.iterations=1".to_string()];
    let error = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap_err().to_string();
    assert!(error.contains("reflow.iterations") && error.contains("leave one out"), "{error}");
}

/// A student that was trained by factors leaves them as a file, too: read with the teacher it gives the student's very weights.
#[test]
fn factors_leave_as_the_network_that_they_make_and_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let sets = [
        "adp.iterations=0",
        "adm.iterations=2",
        "adm.batch=2",
        "adm.lr_generator=1e-3",
        "lora.rank=4",
        "lora.alpha=6",
        "lora.targets=[\"to_q\",\"ff.net.2\",\"conv1\",\"mid_block.attentions.0.proj_in\"]",
        "score.count_per_prompt=1",
        "export.targets=[]",
    ];
    let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets.map(String::from), &sections()).unwrap();
    work(&loaded, folder.path(), false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
    let weights = |path: &Path, loras: Vec<LoraFile>| {
        let pipeline = import_pipeline(path, &ImportOptions { loras, ..ImportOptions::default() }).unwrap();
        let params = pipeline.components["unet"].parts["unet"].params().clone();
        params.into_iter().map(|(name, param)| (name.to_string(), param.weight.unwrap().to_f32())).collect::<BTreeMap<_, _>>()
    };
    let lora = folder.path().join("lora/pytorch_lora_weights.safetensors");
    // diffusers reads rank and alpha there, and looks up the patterns without asking whether they are there.
    let (_, metadata) = SafeTensors::read_metadata(&std::fs::read(&lora).unwrap()).unwrap();
    let settings = metadata.metadata().as_ref().unwrap()["lora_adapter_metadata"].clone();
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert_eq!((&settings["unet.r"], &settings["unet.lora_alpha"]), (&4.into(), &6.0.into()));
    assert!(settings["unet.rank_pattern"].is_object() && settings["unet.alpha_pattern"].is_object());
    let student = weights(&folder.path().join("student"), Vec::new());
    assert_eq!(student, weights(&teacher(), vec![LoraFile { path: lora.clone(), scale: 1.0 }]));
    let plain = weights(&teacher(), Vec::new());
    let moved: Vec<&String> = student.keys().filter(|name| student[*name] != plain[*name]).collect();
    let meant = |name: &str| {
        ["to_q.weight", "ff.net.2.weight", "conv1.weight", "attentions.0.proj_in.weight"].iter().any(|end| name.ends_with(end))
    };
    assert!(moved.len() > 20 && moved.iter().all(|name| meant(name)), "{moved:?}");

    let json =
        |path: &str| -> serde_json::Value { serde_json::from_slice(&std::fs::read(folder.path().join(path)).unwrap()).unwrap() };
    let manifest = json("manifest.json");
    assert_eq!(manifest["recipe"]["lora"]["init"], "gaussian");
    assert!(manifest["choices"]["lora_of_fake_score"].as_str().unwrap().starts_with("rank 4, alpha 6, "), "{manifest}");
    assert_eq!(json("lora/dmdx_student.json"), json("student/dmdx_student.json"));
    assert_eq!(json("lora/scheduler/scheduler_config.json"), json("student/scheduler/scheduler_config.json"));
    let card = std::fs::read_to_string(folder.path().join("lora/README.md")).unwrap();
    assert!(card.contains("pipe.load_lora_weights(\".\", weight_name=\"pytorch_lora_weights.safetensors\")"), "{card}");
    assert!(card.contains("needs the strength 1.5"), "{card}");

    // Nothing but factors is trained and kept.
    let file = TensorFile::open(&folder.path().join("checkpoints/00-adm-000000002-end.safetensors")).unwrap();
    let network = |name: &&String| name.starts_with("generator") || name.starts_with("fake_score");
    assert!(file.tensors.keys().filter(network).all(|name| name.contains(".lora_A.") || name.contains(".lora_B.")));
    assert!(file.tensors.keys().filter(network).count() > 80);

    // Factors to begin with bring the meaning of their output along, and new ones stand beside the network that they make.
    let again = folder.path().join("again");
    let init = format!("student.init={}", folder.path().join("lora").display());
    let more = [init.as_str(), "adm.iterations=1", "adm.lr_generator=1e-9", "lora.targets=[\"to_v\"]"];
    let sets: Vec<String> = sets.iter().copied().chain(more).map(String::from).collect();
    let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap();
    work(&loaded, &again, false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
    let continued = weights(&again.join("student"), Vec::new());
    let far = |name: &String| student[name].iter().zip(&continued[name]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    for name in student.keys() {
        assert!(far(name) < 1e-6 && (far(name) == 0.0 || name.ends_with("to_v.weight")), "{name}: {}", far(name));
    }

    // What would fail is refused before a run folder is made.
    for (set, words) in [("lora.targets=[\"nothing\"]", "ends the path of no layer"), ("lora.rank=65", "has no higher rank than")]
    {
        let sets: Vec<String> = sets.iter().cloned().chain([set.to_string()]).collect();
        let loaded = LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap();
        let error = Distillation::open(&loaded).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

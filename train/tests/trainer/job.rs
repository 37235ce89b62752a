//! A whole job on networks that are not there.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dmdx_graph::store::NewFolder;
use dmdx_runtime::Tensor;
use dmdx_runtime::score::{Reference, Spread};
use dmdx_train::TrainError;
use dmdx_train::data::{LatentStore, PairPlan, PairStore, ShardInputs};
use dmdx_train::job::work::{default_folder, work};
use dmdx_train::job::{Drawer, Models, PictureSet, Pictures};
use dmdx_train::recipe::PairDtype;
use dmdx_train::report::{Film, Score, Scores};
use dmdx_train::session::logs::read_metrics;
use dmdx_train::session::{Interrupt, RunFolder};
use dmdx_train::store::StoredState;
use dmdx_train::store::atomic::write_folder;
use dmdx_train::trainer::PhaseSlot;

use super::toy;

#[derive(Default)]
struct Fake {
    interrupt: Interrupt,
    /// Which call asks to stop.
    stop: Option<usize>,
    calls: Cell<usize>,
    fail_export: bool,
    /// Times that the student was opened to be exported.
    opened: Cell<usize>,
    /// Every second picture's value.
    other: f32,
}

impl Fake {
    fn called(&self) {
        if self.stop == Some(self.calls.get()) {
            self.interrupt.request();
        }
        self.calls.set(self.calls.get() + 1);
    }
}

fn fixed(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

impl Models for Fake {
    type Student = PathBuf;
    type ConditionStore = PathBuf;

    fn inputs(&self) -> Result<BTreeMap<String, String>, TrainError> {
        Ok(fixed(&[("teacher.path", "aa")]))
    }

    fn versions(&self) -> BTreeMap<String, String> {
        fixed(&[("burn", "0")])
    }

    fn choices(&self) -> Result<BTreeMap<String, String>, TrainError> {
        Ok(fixed(&[("latent_taps", "mid_block")]))
    }

    fn pair_plan(&self) -> Result<PairPlan, TrainError> {
        Ok(PairPlan {
            teacher_sha256: "aa".to_string(),
            prompts_sha256: "bb".to_string(),
            prompt_count: 3,
            sampler: "euler_trailing".to_string(),
            steps: 25,
            guidance: [1.0, 2.0],
            unconditional: "zeros".to_string(),
            seed: 0,
            dtype: PairDtype::F16,
            latent_shape: vec![1, 2, 2],
            latent_scaling: 1.0,
            count: 6,
            shard: 3,
        })
    }

    fn conditions(&self, folder: &Path, _: &Interrupt) -> Result<PathBuf, TrainError> {
        Ok(folder.to_path_buf())
    }

    fn teacher_latents(&self, conditions: &PathBuf, inputs: &ShardInputs) -> Result<Vec<f32>, TrainError> {
        self.called();
        assert!(conditions.ends_with("conditions"));
        Ok(inputs.noise.clone())
    }

    fn real_latents(&self, _: &Path, _: &Interrupt) -> Result<LatentStore, TrainError> {
        panic!("no method of the recipe learns from real latents")
    }

    fn phases<'a>(
        &'a self,
        _: &'a PathBuf,
        pairs: Option<PairStore>,
        latents: Option<LatentStore>,
    ) -> Result<Vec<PhaseSlot<'a>>, TrainError> {
        assert!(latents.is_none());
        self.called();
        assert_eq!(pairs.unwrap().len(), 6);
        Ok(toy::slots(&toy::recipe(&[]), Duration::ZERO))
    }

    fn save_student(&self, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
        self.called();
        std::fs::write(folder.join("weights"), state.tensor("generator.w").unwrap()[0].to_le_bytes()).unwrap();
        Ok(())
    }

    fn open_student(&self, folder: &Path) -> Result<PathBuf, TrainError> {
        self.opened.set(self.opened.get() + 1);
        Ok(folder.to_path_buf())
    }

    fn export(&self, student: &PathBuf, target: &str, folder: &Path) -> Result<(), TrainError> {
        self.called();
        assert!(student.ends_with("student") && student.join("weights").is_file());
        write_folder(folder, |place| {
            std::fs::write(place.join("target"), target).unwrap();
            if self.fail_export {
                Err(TrainError::component("exporting the student", "the bundle does not equal its source"))
            } else {
                Ok(())
            }
        })
    }

    fn prompt(&self, id: u32) -> Result<String, TrainError> {
        Ok(format!("number {id}"))
    }

    fn write_cards(&self, student: &Path, bundles: &[PathBuf], scores: &Scores) -> Result<(), TrainError> {
        assert!(student.join("weights").is_file() && scores.values().all(|score| !score.is_empty()));
        bundles.iter().map(|bundle| bundle.join("README.md")).for_each(|card| std::fs::write(card, "card").unwrap());
        Ok(())
    }

    fn film(&self) -> Film {
        Film { frames: None, height: 2, width: 2 }
    }

    /// Six pictures of two features, the fifth neighbour of each 5 to 3 away.
    fn reference(&self, file: &Path, _: &PathBuf, interrupt: &Interrupt) -> Result<Option<Reference>, TrainError> {
        self.called();
        interrupt.check(|| "the reference".to_string())?;
        assert!(file.ends_with("reference.safetensors"));
        let features = Tensor::f32([6, 1], (0..6u8).map(f32::from).collect())?;
        Ok(Some(Reference::new("teacher", &features, 1)?))
    }

    fn evaluate(
        &self,
        who: Drawer<'_>,
        _: &PathBuf,
        set: &PictureSet,
        keep: usize,
        reference: Option<&Reference>,
    ) -> Result<Pictures, TrainError> {
        self.called();
        let prompts: Vec<u32> = (0..set.count).map(|index| set.prompt(index)).collect();
        let eight = |id: u32| [id; 8];
        match (set.draws, who) {
            ("evaluation", Drawer::Teacher { .. } | Drawer::Student(_)) => {
                assert_eq!((prompts, keep, reference.is_some()), (vec![0, 0, 1, 1, 2, 2], 3, true))
            }
            ("look", Drawer::Training(_)) => assert_eq!((prompts, keep, reference.is_some()), (vec![0, 1, 2, 0, 1], 5, false)),
            ("seeds", _) => assert_eq!((prompts, keep, reference.is_some()), ([0, 1, 2].map(eight).concat(), 24, false)),
            (other, _) => panic!("{other}"),
        }
        let frechet = match who {
            Drawer::Teacher { steps } => f64::from(steps),
            Drawer::Training(phase) => f64::from(phase.draw(0, &[0.0], &[0])?[0]),
            Drawer::Student(state) => (state.under("generator").count() + state.under("generator_optimizer").count()) as f64,
        };
        let mut score = Score::from([("accuracy".to_string(), 1.0), ("frechet".to_string(), frechet)]);
        if reference.is_some() {
            score.insert("coverage".to_string(), 0.5);
        }
        // One grey, one other, and so on.
        let value = |index: usize| if (index / 12).is_multiple_of(2) { 0.0 } else { self.other };
        let values: Vec<f32> = (0..keep * 12).map(value).collect();
        let prompts: Vec<u32> = (0..set.count).map(|index| set.prompt(index)).collect();
        let spread = Spread::of(&(0..set.count * 12).map(value).collect::<Vec<f32>>(), 12, &prompts);
        Ok(Pictures { values, score: set.scored.then_some(score), spread })
    }
}

const SETS: [&str; 5] = [
    "score.classifier=c",
    "score.count_per_prompt=2",
    "export.targets=[\"compat\"]",
    "run.sample_every=10",
    "run.sample_count=5",
];

fn everything(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = toy::files(path);
    for folder in ["student", "bundle", "pairs"] {
        for entry in std::fs::read_dir(path.join(folder)).unwrap() {
            let file = entry.unwrap().path();
            found.insert(file.strip_prefix(path).unwrap().to_str().unwrap().to_string(), std::fs::read(file).unwrap());
        }
    }
    found
}

fn run(path: &Path, resume: bool, fake: &Fake) -> Result<(), TrainError> {
    work(&toy::loaded(&SETS), path, resume, &fake.interrupt, fake)
}

#[test]
fn a_job_leaves_everything_and_its_interruptions_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let fake = || Fake { other: 1.0, ..Fake::default() };
    run(&whole, false, &fake()).unwrap();
    let wanted = everything(&whole);
    for name in
        ["student/weights", "bundle/target", "samples.png", "loss.png", "score.json", "manifest.json", "pairs/COMPLETE.json"]
    {
        assert!(wanted.contains_key(name), "{name}");
    }
    let scores: Scores = serde_json::from_slice(&wanted["score.json"]).unwrap();
    // A row for every phase.
    assert_eq!(scores.keys().collect::<Vec<_>>(), ["teacher_25", "teacher_1", "student_1_after_adp", "student_1"]);
    assert_eq!(scores["teacher_25"].keys().collect::<Vec<_>>(), ["accuracy", "frechet", "coverage", "spread"]);
    assert_eq!(scores["teacher_25"]["frechet"], 25.0);
    // Of all pictures that are scored: every prompt has a grey and a white one.
    assert!((scores["student_1"]["spread"] - 1.0).abs() < 1e-9);
    let looks: Vec<&String> = wanted.keys().filter(|name| name.starts_with("samples/")).collect();
    assert_eq!(looks, ["samples/adm-000000010.png", "samples/adp-000000010.png", "samples/adp-000000020.png"]);
    let lines = read_metrics(&whole.join("metrics.jsonl")).unwrap();
    let seen: Vec<(&str, u64)> = lines
        .iter()
        .filter(|line| line.metrics.contains_key("score_frechet"))
        .map(|line| (line.phase.as_str(), line.step))
        .collect();
    assert_eq!(seen, [("adp", 9), ("adp", 19), ("adm", 32)]);
    run(&whole, true, &fake()).unwrap();
    assert_eq!(everything(&whole), wanted);

    let path = folder.path().join("stopped");
    // The collection of the first run has two calls, and looks are taken once; the rest are made again by every run.
    let mut stops = 0;
    for stop in std::iter::once(0).chain(0..) {
        let fake = Fake { stop: Some(stop), ..fake() };
        match run(&path, stops > 0, &fake) {
            Ok(()) => break,
            Err(error) => assert!(matches!(error, TrainError::Interrupted { .. }), "{error}"),
        }
        stops += 1;
    }
    assert!(stops > 8, "only {stops} stops");
    run(&path, true, &fake()).unwrap();
    assert_eq!(everything(&path), wanted);
}

/// A student that draws no numbers stops the run with that reason, before a scorer would fail at it.
#[test]
fn a_student_that_draws_no_numbers_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(&folder.path().join("run"), false, &Fake { other: f32::NAN, ..Fake::default() }).unwrap_err();
    let sentence = "training stopped in phase adp at iteration 4: the student draws values that are not finite; lower the \
                    learning rates; nothing was saved before, so start again with other settings";
    assert_eq!(error.to_string(), sentence);
}

/// So does one whose pictures, or frames, are brighter than any picture.
#[test]
fn a_student_that_draws_nothing_but_light_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(&folder.path().join("run"), false, &Fake { other: 4.0, ..Fake::default() }).unwrap_err();
    let sentence = "training stopped in phase adp at iteration 4: what the student draws is 2.0000 bright on average, outside \
                    -1.5 to 1.5 (health.brightness); nothing was saved before, so start again with other settings";
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn several_targets_are_exported_from_one_student() {
    let folder = tempfile::tempdir().unwrap();
    let job = |targets: &str| {
        let fake = Fake::default();
        let path = folder.path().join(targets.len().to_string());
        let sets = ["score.count_per_prompt=2", "score.classifier=c", "run.sample_every=0", targets];
        work(&toy::loaded(&sets), &path, false, &fake.interrupt, &fake).unwrap();
        (path, fake.opened.get())
    };
    let (path, opened) = job("export.targets=[\"compat\", \"other\"]");
    assert_eq!(opened, 1);
    assert_eq!(std::fs::read(path.join("bundle-compat/target")).unwrap(), b"compat");
    assert_eq!(std::fs::read(path.join("bundle-other/target")).unwrap(), b"other");
    let (path, opened) = job("export.targets=[]");
    assert_eq!((opened, path.join("student").is_dir(), path.join("bundle").exists()), (0, true, false));
}

#[test]
fn an_export_that_fails_leaves_no_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let error = run(&path, false, &Fake { fail_export: true, ..Fake::default() }).unwrap_err();
    assert_eq!(error.to_string(), "exporting the student: the bundle does not equal its source");
    assert!(path.join("student").is_dir() && !path.join("bundle").exists());
    let unfinished = || {
        let names = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".part")).count()
    };
    assert_eq!(unfinished(), 0);
    std::mem::forget(NewFolder::create(&path.join("bundle")).unwrap());
    assert_eq!(unfinished(), 1);
    drop(RunFolder::resume(&path).unwrap());
    assert_eq!(unfinished(), 0, "what a killed process left is removed");
    run(&path, true, &Fake::default()).unwrap();
    assert!(path.join("bundle/target").is_file());
}

#[test]
fn run_folders_are_named_after_their_recipes() {
    assert_eq!(default_folder(Path::new("fixtures/digits-sdxl/dmdx.toml")), Path::new("runs/digits-sdxl"));
    assert_eq!(default_folder(Path::new("dmdx.toml")), Path::new("runs/dmdx"));
    assert_eq!(default_folder(Path::new("a/mine.toml")), Path::new("runs/mine"));
}

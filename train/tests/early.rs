//! What would show after hours of training is one sentence before anything is loaded; and a run that collapses stops before the
//! collapse is saved.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use dmdx_train::TrainError;
use dmdx_train::job::Distillation;
use dmdx_train::job::work::work;
use dmdx_train::method::sections;
use dmdx_train::recipe::LoadedRecipe;
use dmdx_train::session::Interrupt;
use dmdx_train::trainer::Checkpoint;

fn digits() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/digits-sdxl").canonicalize().unwrap()
}

/// The digits teacher with another scheduler.
fn teacher(change: &[(&str, serde_json::Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&digits(), folder.path());
    let path = folder.path().join("scheduler/scheduler_config.json");
    let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value) in change {
        config[*key] = value.clone();
    }
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir(&place).unwrap();
            copy(&path, &place);
        } else {
            std::fs::copy(&path, &place).unwrap();
        }
    }
}

fn recipe(sets: &[&str]) -> Result<LoadedRecipe, TrainError> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
    LoadedRecipe::read(&digits().join("dmdx.toml"), &sets, &sections())
}

/// The sentence that a recipe is refused with.
fn refused(sets: &[&str]) -> String {
    recipe(sets).and_then(|loaded| Distillation::open(&loaded).map(drop)).unwrap_err().chain()
}

#[test]
fn what_the_noise_process_cannot_do_is_refused() {
    // Zero terminal SNR, and a network that predicts noise: its first step is not defined.
    let zero = teacher(&[("_class_name", "DDIMScheduler".into()), ("rescale_betas_zero_snr", true.into())]);
    let path = format!("teacher.path={}", zero.path().display());
    assert_eq!(
        refused(&[&path]),
        "the recipe's pairs.steps is 25, which the teacher cannot make: a step from predicted noise cannot start where alpha is 0"
    );
    let v = teacher(&[
        ("_class_name", "DDIMScheduler".into()),
        ("rescale_betas_zero_snr", true.into()),
        ("prediction_type", "v_prediction".into()),
    ]);
    let path = format!("teacher.path={}", v.path().display());
    Distillation::open(&recipe(&[&path]).unwrap()).unwrap();

    for (sets, sentence) in [
        (&["adm.t_max=1000"][..], "the recipe's adm.t_max is 1000, but the teacher's noise process ends at 999"),
        (&["adm.dt_steps=0.3"], "the recipe's adm.dt_steps is 0.3, but that is no whole step of the teacher's noise process"),
        (&["student.times=[999.5]"], "the recipe's student.times is [999.5], but the teacher's network is told 999 at most"),
        (&["adp.iterations=0", "adm.iterations=0"], "the recipe's methods have no iteration, so that there would be no student"),
        (
            &["student.guidance_offset=2"],
            "the recipe's student.guidance_offset is 2, but [adp] trains a student that is asked once, without guidance",
        ),
    ] {
        let said = refused(sets);
        assert!(said.starts_with(sentence), "{said}");
    }
}

#[test]
fn what_the_end_of_a_run_needs_is_looked_at_first() {
    for (sets, sentence) in [
        (
            &["prompts.template=a {colour} cat"][..],
            "the recipe's prompts.template is \"a {colour} cat\", but it does not use prompts.values.digit",
        ),
        (&["export.targets=[\"nowhere\"]"], "reading export.targets: "),
        (&["discriminator.latent_taps=[\"up_blocks.9\"]"], "the recipe's discriminator.latent_taps "),
        (&["discriminator.pixel.layers=[99]"], "the recipe's discriminator.pixel.layers has 99, which the encoder has not"),
        (&["score.classifier=nowhere"], "opening the classifier of score.classifier: "),
    ] {
        let said = refused(sets);
        assert!(said.starts_with(sentence), "{said}");
    }
    let text = std::fs::read_to_string(digits().join("dmdx.toml")).unwrap();
    let cats: String = text
        .lines()
        .filter(|line| !line.starts_with("template") && !line.starts_with("[prompts.values]"))
        .collect::<Vec<_>>()
        .join("\n");
    let start = cats.find("[prompts]").unwrap();
    let end = start + cats[start + 1..].find("\n[").unwrap() + 1;
    let cats = format!("{}[prompts]\nlist = [\"a red seven\", \"a red cat\"]{}", &cats[..start], &cats[end..]);
    let loaded = LoadedRecipe::parse(&cats, &digits().join("dmdx.toml"), &[], &sections()).unwrap();
    assert_eq!(
        Distillation::open(&loaded).err().unwrap().chain(),
        "the recipe's score.classifier does not know the prompt \"a red cat\", so its pictures cannot be scored"
    );
}

/// A learning rate that no network survives: the run stops with a sign, and what it kept is from before.
#[test]
fn a_run_that_collapses_keeps_what_was_good() {
    let folder = tempfile::tempdir().unwrap();
    let sets = [
        "pairs.count=2",
        "pairs.steps=2",
        "reflow.iterations=40",
        "reflow.batch=2",
        "reflow.lr_generator=0.3",
        "adp.iterations=0",
        "adm.iterations=0",
        "score.count_per_prompt=1",
        "run.sample_every=0",
        "checkpoint.every=1",
        "health.window=2",
        "health.latent_std=[0.02, 3]",
    ];
    let loaded = recipe(&sets).unwrap();
    let job = Distillation::open(&loaded).unwrap();
    let error = work(&loaded, folder.path(), false, &Interrupt::default(), &job).unwrap_err();
    let TrainError::Health { iteration, reason, .. } = &error else { panic!("{error}") };
    eprintln!("{error}");
    assert!(reason.starts_with("the student's latents grow: latent_std was "), "{reason}");
    // The newest checkpoint is of an iteration before the one that was stopped.
    let mut saved: Vec<PathBuf> =
        std::fs::read_dir(folder.path().join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    saved.sort();
    match saved.last() {
        Some(last) => {
            let checkpoint = Checkpoint::open(last).unwrap();
            assert!(checkpoint.position.iteration <= *iteration, "{last:?} holds the collapse at {iteration}");
            let path = last.canonicalize().unwrap();
            assert!(reason.ends_with(&format!("--set student.init={}", path.display())), "{reason}");
            // And it is one that a run can begin with.
            let again = recipe(&["adp.iterations=0", &format!("student.init={}", path.display())]).unwrap();
            Distillation::open(&again).unwrap();
        }
        None => assert!(reason.ends_with("nothing was saved before, so start again with other settings"), "{reason}"),
    }
}

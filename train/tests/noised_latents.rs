//! Methods that learn from the teacher's own latents, noised: consistency distillation, and adversarial distillation of them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_train::data::collect;
use dmdx_train::job::work::work;
use dmdx_train::job::{Distillation, Models};
use dmdx_train::method::sections;
use dmdx_train::recipe::LoadedRecipe;
use dmdx_train::session::Interrupt;
use dmdx_train::store::{NamedRoles, Role};
use dmdx_train::trainer::Phase;
use serde_json::Value;

fn teacher() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/digits-sdxl")
}

/// The digits recipe with one method and two pairs, a few samples long.
fn small(sets: &[&str]) -> Result<LoadedRecipe, String> {
    let common = ["pairs.count=2", "pairs.steps=2", "adp.iterations=0", "adm.iterations=0", "score.count_per_prompt=1"];
    let sets: Vec<String> = common.iter().chain(sets).map(ToString::to_string).collect();
    LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).map_err(|error| error.to_string())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

const LCM: [&str; 5] = ["lcm.iterations=3", "lcm.batch=2", "lcm.lr_generator=1e-4", "student.steps=4", "student.sampler=renoise"];

const LADD: [&str; 6] = [
    "ladd.iterations=3",
    "ladd.batch=2",
    "ladd.lr_generator=1e-5",
    "ladd.lr_discriminator=1e-4",
    "ladd.distill_weight=0.5",
    "student.steps=4",
];

/// From the recipe to the bundle: the student, its folder and its bundle say the same of the boundary condition and the times.
#[test]
fn consistency_distillation_delivers_what_stock_diffusers_walks() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = small(&LCM).unwrap();
    work(&loaded, folder.path(), false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
    let times = serde_json::json!([999.0, 759.0, 499.0, 259.0]);
    let consistency = serde_json::json!({ "solver_steps": 50, "timestep_scaling": 10.0 });
    for file in ["student/dmdx_student.json", "bundle/dmdx.json"] {
        let found = json(&folder.path().join(file));
        assert_eq!((&found["steps"], &found["consistency"]), (&times, &consistency), "{file}");
        assert_eq!((&found["sampler"], &found["parameterisation"]), (&"renoise".into(), &"epsilon".into()), "{file}");
    }
    for place in ["student", "bundle"] {
        let scheduler = json(&folder.path().join(place).join("scheduler/scheduler_config.json"));
        assert_eq!(scheduler["_class_name"], "LCMScheduler");
        assert_eq!((&scheduler["original_inference_steps"], &scheduler["timestep_scaling"]), (&50.into(), &10.0.into()));
    }
    let card = std::fs::read_to_string(folder.path().join("student/README.md")).unwrap();
    assert!(card.contains("num_inference_steps=4, guidance_scale=1") && card.contains("`y = 10 t`"), "{card}");
    let manifest = json(&folder.path().join("manifest.json"));
    assert_eq!(manifest["choices"]["lcm_times"], "uniform among the solver's");
    let lines = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("consistency_gap") && line.contains("grad_norm_generator")).count(), 3);
}

#[test]
fn adversarial_distillation_of_noised_latents_delivers_a_student_of_the_teachers_kind() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = small(&LADD).unwrap();
    work(&loaded, folder.path(), false, &Interrupt::default(), &Distillation::open(&loaded).unwrap()).unwrap();
    let found = json(&folder.path().join("bundle/dmdx.json"));
    assert_eq!(
        (&found["steps"], &found["parameterisation"]),
        (&serde_json::json!([999.0, 749.0, 499.0, 249.0]), &"epsilon".into())
    );
    assert_eq!((&found["consistency"], found.get("sampler")), (&Value::Null, None));
    let lines = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let logged = |line: &&str| line.contains("discriminator_accuracy") && line.contains("part_generator_distill");
    assert_eq!(lines.lines().filter(logged).count(), 3);
}

/// Weights of every role, by its name.
fn held(roles: &NamedRoles<'_>) -> BTreeMap<&'static str, BTreeMap<String, Vec<f32>>> {
    let weights =
        |role: &dyn Role| role.parameters().into_iter().map(|(name, _)| (name.clone(), role.parameter(&name).unwrap())).collect();
    roles.iter().map(|(name, role)| (*name, weights(&**role))).collect()
}

/// The only phase of a recipe, as it begins.
fn first_phase(sets: &[&str], look: impl Fn(&mut dyn Phase)) {
    let folder = tempfile::tempdir().unwrap();
    let loaded = small(sets).unwrap();
    let job = Distillation::open(&loaded).unwrap();
    let interrupt = Interrupt::default();
    let conditions = job.conditions(&folder.path().join("conditions"), &interrupt).unwrap();
    let latents = |inputs: &_| job.teacher_latents(&conditions, inputs);
    let pairs = collect(&folder.path().join("pairs"), &job.pair_plan().unwrap(), &interrupt, latents).unwrap();
    let slot = job.phases(&conditions, Some(pairs), None).unwrap().remove(0);
    look(&mut *(slot.build)(None).unwrap());
    // Without pairs there is nothing to learn from.
    let slot = job.phases(&conditions, None, None).unwrap().remove(0);
    let error = (slot.build)(None).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("learns from ODE pairs, but none were collected"), "{error}");
}

/// The student moves, and only then the target network, by its share of where the student has arrived.
#[test]
fn consistency_distillation_trains_the_student_and_averages_its_target() {
    first_phase(&LCM, |phase| {
        let before = held(&phase.trained_roles());
        assert_eq!(before.keys().copied().collect::<Vec<_>>(), ["generator", "target"]);
        assert_eq!(before["generator"], before["target"]);
        for steps in 1..=2 {
            let before = held(&phase.trained_roles());
            phase.iteration(steps - 1).unwrap();
            let roles = phase.trained_roles();
            assert_eq!(roles.iter().map(|(_, role)| role.steps()).collect::<Vec<_>>(), [steps, 0]);
            let after = held(&roles);
            assert_ne!(after["generator"], before["generator"]);
            for (name, values) in &after["target"] {
                let (own, student) = (&before["target"][name], &after["generator"][name]);
                for ((value, own), student) in values.iter().zip(own).zip(student) {
                    let wanted = 0.95 * own + 0.05 * student;
                    assert!((value - wanted).abs() <= 2e-7 * wanted.abs().max(1e-3), "{name}: {value} for {wanted}");
                }
            }
        }
    });
}

/// What would fail in the middle of a run, or make a student of nothing, is refused before it.
#[test]
fn consistency_students_and_their_times_are_checked_at_the_start() {
    let opened = |sets: &[&str]| Distillation::open(&small(sets)?).map(drop).map_err(|error| error.to_string());
    let problem = |sets: &[&str]| opened(sets).unwrap_err();
    let lcm = |more: &[&str]| problem(&[&LCM[..], more].concat());
    assert_eq!(
        lcm(&["student.sampler=ode"]),
        "the recipe's student.sampler is \"ode\", but a consistency student of several calls noises its clean samples anew; set \
         student.sampler = \"renoise\""
    );
    assert_eq!(
        lcm(&["lcm.solver_steps=30"]),
        "the recipe's lcm.solver_steps is 30, but the solver of a consistency student cannot divide the 1000 times of this noise \
         process into 30 equal steps"
    );
    assert_eq!(
        problem(&["lcm.iterations=1", "student.times=[999, 749]", "student.sampler=renoise"]),
        "the recipe's student.times is [999.0, 749.0], but 749 is not among the times of the solver's 50 steps; the nearest is \
         739, and student.steps finds such times by itself"
    );
    assert!(lcm(&["lcm.solver_steps=2"]).starts_with("the recipe's student.steps is 4, but 4 steps were asked for"));
    assert!(lcm(&["adp.iterations=1"]).contains("an earlier method or student.init puts it on the line"));
    assert!(lcm(&["student.guidance_offset=2"]).starts_with("the recipe's student.guidance_offset is given, but [lcm]"));
    assert_eq!(
        lcm(&["lcm.data=latents"]),
        "the recipe's data is missing, but lcm learns from real latents; name a folder of pictures in it"
    );
    let ladd = |more: &[&str]| problem(&[&LADD[..5], more].concat());
    assert_eq!(
        ladd(&["student.times=[1000, 500]"]),
        "the recipe's student.times is [1000.0, 500.0], but time 1000 is not on the noise process, which has whole times from 0 to 999"
    );
    assert!(ladd(&["student.steps=2", "ladd.probabilities=[1]"]).contains("has 1 numbers, but the student is called 2 times"));
    assert!(ladd(&["student.steps=2", "ladd.probabilities=[0.7, 0.2]"]).contains("instead of 1"));
    assert!(ladd(&["student.guidance_offset=2"]).contains("but [ladd]"));
}

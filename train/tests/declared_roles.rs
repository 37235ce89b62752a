//! Every method of the list, two iterations long on the digits teacher: its gradients reach the roles that are declared here,
//! every parameter of them, as often and in the order that is declared, and nothing else changes. A method that is added to
//! the list fails until it has an entry.
#![allow(clippy::unwrap_used, missing_docs)]

mod pictures;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dmdx_train::data::collect;
use dmdx_train::job::{Distillation, Models};
use dmdx_train::method::{METHODS, Need, sections};
use dmdx_train::module::Value;
use dmdx_train::recipe::LoadedRecipe;
use dmdx_train::session::Interrupt;
use dmdx_train::trainer::Phase;

/// What a method is declared to train.
struct Declared {
    method: &'static str,
    /// Recipe keys besides a batch of two and two iterations.
    sets: &'static [&'static str],
    roles: &'static [Role],
    /// Whether the fake score's update comes before the generator's, for methods that have one.
    fake_score_first: Option<bool>,
}

/// One trained role.
struct Role {
    name: &'static str,
    /// Optimizer steps per iteration; 0 for a role that follows another without gradients, as a moving average does.
    updates: u64,
    /// Ends of the names of parameters that the loss is no function of, and which so stay as they are.
    without: &'static [&'static str],
}

const fn role(name: &'static str, updates: u64) -> Role {
    Role { name, updates, without: &[] }
}

const DECLARED: &[Declared] = &[
    Declared { method: "reflow", sets: &[], roles: &[role("generator", 1)], fake_score_first: None },
    Declared {
        method: "adp",
        sets: &[],
        roles: &[role("generator", 1), role("latent_heads", 1), role("pixel_heads", 1)],
        fake_score_first: None,
    },
    Declared { method: "regression", sets: &["regression.loss=mse"], roles: &[role("generator", 1)], fake_score_first: None },
    Declared {
        method: "lcm",
        sets: &["lcm.lr_generator=1e-4"],
        roles: &[role("generator", 1), role("target", 0)],
        fake_score_first: None,
    },
    Declared {
        method: "ladd",
        sets: &["student.steps=2"],
        roles: &[role("generator", 1), role("latent_heads", 1)],
        fake_score_first: None,
    },
    Declared {
        method: "adm",
        sets: &["adm.ttur=4"],
        roles: &[role("generator", 1), role("fake_score", 4), role("latent_heads", 1)],
        fake_score_first: Some(true),
    },
    Declared {
        method: "dmd",
        sets: &["dmd.ttur=2"],
        roles: &[role("generator", 1), role("fake_score", 2)],
        fake_score_first: Some(true),
    },
    Declared {
        method: "dmd2",
        sets: &["dmd2.ttur=1"],
        roles: &[role("generator", 1), role("fake_score", 1), role("classifier_heads", 1)],
        fake_score_first: Some(false),
    },
];

const ITERATIONS: u64 = 2;

/// What a gradient reaches and may be zero for: while as many fakes as reals are on the wrong side of the hinge, they pull
/// at the last bias of a head alike.
const CANCELLING: &str = ".logit.bias";

fn teacher() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/digits-sdxl")
}

/// The weights of every role, and the second moments that it has.
type State = BTreeMap<&'static str, (BTreeMap<String, Vec<f32>>, BTreeMap<String, Vec<f32>>, u64)>;

fn state(phase: &mut dyn Phase) -> State {
    let of = |role: &dyn dmdx_train::store::Role| {
        let weights = role.parameters().into_iter().map(|(name, _)| (name.clone(), role.parameter(&name).unwrap()));
        let moments = role.moments().into_iter().map(|name| (name.clone(), role.moment(&name).unwrap()));
        (weights.collect(), moments.collect(), role.steps())
    };
    phase.trained_roles().into_iter().map(|(name, role)| (name, of(role))).collect()
}

/// The recipe of one method alone.
fn recipe(declared: &Declared, more: &[String], pictures: &Path) -> LoadedRecipe {
    let name = declared.method;
    let off = METHODS.iter().map(|method| method.section.name).filter(|other| *other != name);
    let mut sets: Vec<String> = off.map(|other| format!("{other}.iterations=0")).collect();
    sets.extend([format!("{name}.iterations={ITERATIONS}"), format!("{name}.batch=2")]);
    sets.extend(["pairs.count=2", "pairs.steps=1"].map(String::from));
    sets.push(format!("data.path={}", pictures.display()));
    sets.extend(declared.sets.iter().map(|set| set.to_string()).chain(more.iter().cloned()));
    LoadedRecipe::read(&teacher().join("dmdx.toml"), &sets, &sections()).unwrap()
}

/// Shape and values of weights, by network and name.
type Frozen = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// What is frozen: every network of the teacher that a method could reach. The decoder's weights are seen in what it makes.
fn frozen(job: &Distillation) -> (Frozen, Vec<f32>) {
    let teacher = job.materials().teacher;
    let count: usize = teacher.latent_shape.iter().product();
    let latent: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    let shape: Vec<usize> = std::iter::once(1).chain(teacher.latent_shape.iter().copied()).collect();
    let latent = Value::float(latent, &shape, teacher.denoiser.module.device()).unwrap();
    let weights = teacher.denoiser.module.weights().unwrap().into_iter().collect();
    (weights, teacher.decoder.decode(&latent).unwrap().to_f32().unwrap())
}

/// Makes the phase of a method, and gives it to `work` beside its job.
fn with_phase<T>(declared: &Declared, more: &[String], work: impl FnOnce(&Distillation, &mut dyn Phase) -> T) -> T {
    let method = METHODS.iter().find(|method| method.section.name == declared.method).unwrap();
    let (folder, interrupt) = (tempfile::tempdir().unwrap(), Interrupt::default());
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    pictures::draw(&pictures);
    let job = Distillation::open(&recipe(declared, more, &pictures)).unwrap();
    let conditions = job.conditions(&folder.path().join("conditions"), &interrupt).unwrap();
    let make = |inputs: &_| job.teacher_latents(&conditions, inputs);
    let pairs = (method.needs)(job.materials().recipe).contains(&Need::Pairs).then(|| {
        let plan = job.pair_plan().unwrap();
        collect(&folder.path().join("pairs"), &plan, &interrupt, make).unwrap()
    });
    let latents = (method.needs)(job.materials().recipe).contains(&Need::Latents);
    let latents = latents.then(|| job.real_latents(&folder.path().join("latents"), &interrupt).unwrap());
    let mut phases = job.phases(&conditions, pairs, latents).unwrap();
    assert_eq!(phases.iter().map(|slot| slot.name).collect::<Vec<_>>(), [declared.method]);
    let mut phase = (phases.remove(0).build)(None).unwrap();
    work(&job, &mut *phase)
}

fn reaches_what_it_declares(declared: &Declared, job: &Distillation, phase: &mut dyn Phase) {
    let (before, teacher) = (state(phase), frozen(job));
    (0..ITERATIONS).for_each(|index| drop(phase.iteration(index).unwrap()));
    let after = state(phase);
    assert!(frozen(job) == teacher, "{}: the teacher changed", declared.method);

    let named: BTreeSet<&str> = declared.roles.iter().map(|role| role.name).collect();
    assert_eq!(after.keys().copied().collect::<BTreeSet<_>>(), named, "roles of {}", declared.method);
    for role in declared.roles {
        let place = format!("{} of {}", role.name, declared.method);
        let ((weights, _, _), (new, moments, steps)) = (&before[role.name], &after[role.name]);
        assert_eq!(*steps, role.updates * ITERATIONS, "updates of {place}");
        for (name, old) in weights {
            let is_out = role.without.iter().any(|end| name.ends_with(end));
            let reached = moments.get(name);
            assert_eq!(reached.is_some(), role.updates > 0 && !is_out, "whether a gradient reaches {name} of {place}");
            if name.ends_with(CANCELLING) {
                continue;
            }
            // A second moment of zero is a gradient of zero: the parameter has no influence on the loss.
            let is_zero = reached.is_some_and(|moment| moment.iter().all(|&value| value == 0.0));
            assert!(!is_zero, "the gradient of {name} of {place} is zero");
            assert_eq!(new[name] != *old, !is_out, "whether {name} of {place} changed");
        }
    }
}

#[test]
fn gradients_reach_exactly_the_declared_roles() {
    let listed: Vec<&str> = METHODS.iter().map(|method| method.section.name).collect();
    let declared: Vec<&str> = DECLARED.iter().map(|declared| declared.method).collect();
    assert_eq!(declared, listed, "every method of the list has an entry here, in its order");
    for declared in DECLARED {
        with_phase(declared, &[], |job, phase| reaches_what_it_declares(declared, job, phase));
    }
}

/// The order of an iteration's updates is the phase's own and in no recorded trace: what the fake score learns at a rate at
/// which it moves is in force when it scores the generator, or it is not.
#[test]
fn the_generator_is_scored_by_the_declared_fake_score() {
    for declared in DECLARED {
        let Some(first) = declared.fake_score_first else { continue };
        let loss = |rate: f64| {
            let rate = format!("{}.lr_fake={rate}", declared.method);
            with_phase(declared, &[rate], |_, phase| phase.iteration(0).unwrap()["loss_generator"])
        };
        assert_eq!(loss(1e-9) != loss(1e-2), first, "whether the fake score of {} learns first", declared.method);
    }
}

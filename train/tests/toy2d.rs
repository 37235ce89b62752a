//! The assertions of the two-dimensional experiment (distillation.md 8.5, items 2 and 3) on the modules of the example
//! `toy2d`, with a budget of seconds: 800 iterations of 128 points each.
#![allow(clippy::unwrap_used)]

#[path = "../examples/toy2d/expressed.rs"]
mod expressed;
#[path = "../examples/toy2d/measure.rs"]
#[allow(dead_code)]
mod measure;
#[path = "../examples/toy2d/mixture.rs"]
mod mixture;
#[path = "../examples/toy2d/networks.rs"]
mod networks;
#[path = "../examples/toy2d/students.rs"]
#[allow(dead_code)]
mod students;

use std::sync::LazyLock;

use dmdx_runtime::process::Parameterisation;
use dmdx_train::session::Draws;

use measure::Score;
use students::{Budget, Pretraining, Rates, Student, World, backbone};

const BUDGET: Budget = Budget { backbone: 2000, iterations: 800, batch: 128, pairs: 8192, steps: 50, width: 64 };
const PRETRAINING: Rates = Rates { generator: 3e-4, fake: 0.0, heads: 1e-3 };
const MATCHING: Rates = Rates { generator: 1e-4, fake: 2e-3, heads: 2e-3 };

/// The exact teacher, which predicts velocities, and a student that was pre-trained with it.
static WORLD: LazyLock<World> =
    LazyLock::new(|| World::new(Parameterisation::Flow, &backbone(&BUDGET).unwrap(), BUDGET).unwrap());
static PRETRAINED: LazyLock<Student> = LazyLock::new(|| WORLD.adp(PRETRAINING, Pretraining::default()).unwrap());

fn score(name: &str, student: &Student) -> Score {
    let score = measure::score(&WORLD.points(student, &measure::noises(15)).unwrap()).unwrap();
    eprintln!("{name}: {score:?}");
    score
}

/// A sampler that is right scores as one: the floor of every other number here.
#[test]
fn the_mixture_scores_as_itself() {
    let points = mixture::samples(&mut Draws::new(0, "toy truth", 0), 200_000);
    let score = measure::score(&points).unwrap();
    assert!(score.tv < 0.006 && score.forward < 1e-3 && score.reverse < 1e-3, "{score:?}");
    assert!((score.near - (1.0 - (-4.5f64).exp())).abs() < 2e-3 && score.weights < 0.004 && score.modes == 8, "{score:?}");
    // All noise is where no mode is; a mode of a sixteenth that is lost is a sixteenth in both total variations.
    let noise = measure::score(&measure::noises(14)).unwrap();
    assert!(noise.tv > 0.5 && noise.near < 0.3, "{noise:?}");
    let [x, y] = mixture::centres()[1];
    let is_kept = |point: &&[f32]| (f64::from(point[0]) - x).hypot(f64::from(point[1]) - y) > 0.5;
    let kept: Vec<f32> = points.chunks(2).filter(is_kept).flatten().copied().collect();
    let lost = measure::score(&kept).unwrap();
    assert!((lost.weights - 1.0 / 16.0).abs() < 4e-3 && (lost.tv - 1.0 / 16.0).abs() < 8e-3 && lost.modes == 7, "{lost:?}");
}

/// The exact teacher's own sampler ends at the mixture: what the students learn from is the truth.
#[test]
fn the_teachers_ode_ends_at_the_mixture() {
    let score = measure::score(&WORLD.teacher_points().unwrap()).unwrap();
    // 8192 points of 50 Euler steps.
    assert!(score.tv < 0.04 && score.near > 0.97 && score.modes == 8, "{score:?}");
}

/// Item 2: every student comes from no overlap at all to most of the mixture with all of its modes; matching after
/// pre-training is better than pre-training, and loses less of the rare modes than matching without it.
#[test]
fn every_student_finds_the_mixture() {
    let untrained = WORLD.untrained().unwrap();
    assert!(score("untrained", &untrained).tv > 0.99);
    let of = |name: &str, student: &Student| {
        let score = score(name, student);
        assert!(score.tv < 0.40 && score.modes == 8, "{name}: {score:?}");
        score
    };
    of("A1 reflow", &WORLD.reflow(PRETRAINING.generator).unwrap());
    let pretrained = of("A4 ADP", &PRETRAINED);
    let without = of("B1 ADM without ADP", &WORLD.adm(&untrained, MATCHING, false).unwrap());
    of("B2 DMD without ADP", &WORLD.dmd(&untrained, MATCHING).unwrap());
    of("B3 DMD after ADP", &WORLD.dmd(&PRETRAINED, MATCHING).unwrap());
    let after = of("B4 ADM after ADP", &WORLD.adm(&PRETRAINED, MATCHING, false).unwrap());
    assert!(after.tv < pretrained.tv, "ADM after ADP {after:?}, ADP {pretrained:?}");
    assert!(after.weights < without.weights, "ADM after ADP {after:?}, without {without:?}");
}

/// Item 3, negative controls: with the sign of the English equation 9 the student flees from the data, and told the opposite
/// of the truth the heads lead it away again. Uniform times train the student where it never is called.
#[test]
fn what_is_wrong_is_seen_to_be_wrong() {
    let right = score("A4 ADP", &PRETRAINED);
    let sign = WORLD.adp(PRETRAINING, Pretraining { lambda: -1.0, ..Pretraining::default() }).unwrap();
    let sign = score("ADP with the sign of the English equation", &sign);
    assert!(sign.tv > 0.9 && sign.modes < 8, "{sign:?}");
    let swapped = score("ADM with swapped labels", &WORLD.adm(&PRETRAINED, MATCHING, true).unwrap());
    assert!(swapped.tv > right.tv + 0.1, "{swapped:?} from {right:?}");
    let uniform = WORLD.adp(PRETRAINING, Pretraining { uniform_times: true, ..Pretraining::default() }).unwrap();
    let uniform = score("ADP at uniform times", &uniform);
    assert!(uniform.tv > right.tv, "{uniform:?}, cubic {right:?}");
}

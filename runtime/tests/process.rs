//! The noise process against the numbers of distillation.md, 2.1 and 2.2, diffusers' spacings, and itself.
#![allow(clippy::unwrap_used)]

use dmdx_runtime::noise;
use dmdx_runtime::process::spacing::trailing;
use dmdx_runtime::process::{Level, Next, NoiseSchedule, Parameterisation, Process, ProcessError, Rollout, StepRule};

fn sdxl(parameterisation: Parameterisation) -> Process {
    NoiseSchedule::scaled_linear(0.00085, 0.012, 1000).process(parameterisation).unwrap()
}

/// Every parameterisation in a chain: one that is added does not compile here until it is part of it.
fn following(kind: Option<Parameterisation>) -> Option<Parameterisation> {
    match kind {
        None => Some(Parameterisation::Epsilon),
        Some(Parameterisation::Epsilon) => Some(Parameterisation::Sample),
        Some(Parameterisation::Sample) => Some(Parameterisation::VPrediction),
        Some(Parameterisation::VPrediction) => Some(Parameterisation::Flow),
        Some(Parameterisation::Flow) => Some(Parameterisation::LineVelocity),
        Some(Parameterisation::LineVelocity) => None,
    }
}

#[test]
fn the_schedule_of_sdxl() {
    let process = sdxl(Parameterisation::Epsilon);
    // EulerDiscreteScheduler(...).alphas_cumprod of diffusers 0.36.0: a float32 product of up to 1000 factors.
    for (time, abar) in SDXL_ABAR {
        let Level { alpha, sigma } = process.level(time).unwrap();
        assert!((alpha * alpha - abar).abs() < 1e-6, "t = {time}: {}", alpha * alpha);
        assert!((alpha * alpha + sigma * sigma - 1.0).abs() < 1e-15);
    }
    for time in [-1.0, 0.5, 1000.0, f64::NAN] {
        assert!(matches!(process.level(time), Err(ProcessError::Time { .. })), "{time}");
    }
}

const SDXL_ABAR: [(f64, f64); 4] =
    [(0.0, 0.9991499781608582), (249.0, 0.6754320859909058), (499.0, 0.27766942977905273), (999.0, 0.00466009508818388)];

/// Every step carries the exact sample to the exact sample: with the true x0 and eps, the output of each parameterisation
/// moves alpha_t x0 + sigma_t eps to alpha_s x0 + sigma_s eps, and is the target of its own training.
#[test]
fn true_outputs_stay_on_the_path() {
    let (x0, eps) = (0.7, -1.3);
    let kinds: Vec<Parameterisation> = std::iter::successors(following(None), |kind| following(Some(*kind))).collect();
    assert_eq!(kinds.len(), 5);
    for kind in kinds {
        let process = match kind {
            Parameterisation::Flow => Process::flow(3.0),
            Parameterisation::LineVelocity => Process::line(999.0),
            Parameterisation::Epsilon | Parameterisation::Sample | Parameterisation::VPrediction => sdxl(kind),
        };
        for told in [[999.0, 749.0], [500.0, 100.0], [36.0, 20.0]] {
            let [t, s] = told.map(|told| process.time_told(told).unwrap());
            let at = |time: f64| {
                let level = process.level(time).unwrap();
                level.alpha * x0 + level.sigma * eps
            };
            let (of_x0, of_eps) = process.target(t).unwrap();
            let output = of_x0 * x0 + of_eps * eps;
            let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-12, "{kind:?} {t} to {s}: {found}");
            near(process.original(t).unwrap().apply(at(t), output), x0);
            near(process.noise(t).unwrap().apply(at(t), output), eps);
            near(process.step(t, s).unwrap().apply(at(t), output), at(s));
        }
    }
}

/// fixtures/schedulers/timesteps.json: `sum (i + 1) time_i` of diffusers 0.36.0 for every number of steps, -1 where numpy's
/// rounding makes it one step too long.
#[test]
fn trailing_times_are_those_of_diffusers() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/schedulers/timesteps.json");
    let rows: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut rows = rows.as_array().unwrap().iter();
    let row = rows.find(|row| row["config"]["timestep_spacing"] == "trailing" && row["config"]["num_train_timesteps"] == 1000);
    let sums = row.unwrap()["sums"].as_array().unwrap();
    assert_eq!(sums.len(), 1000);
    let mut too_long = 0;
    for (steps, wanted) in (1..).zip(sums) {
        let times = trailing(1000, 1000, steps);
        assert_eq!(times, sdxl(Parameterisation::Epsilon).spaced(steps).unwrap());
        let sum: f64 = (1..).zip(&times).map(|(place, time)| f64::from(place) * time).sum();
        match wanted.as_f64().unwrap() {
            -1.0 => {
                too_long += 1;
                assert!(times.len() == steps && times.iter().all(|&time| time >= 0.0), "{steps} steps");
            }
            wanted => assert_eq!(sum, wanted, "{steps} steps"),
        }
    }
    assert_eq!(too_long, 62);
    // round(1000 (1 - 3 / 48)) - 1 would be 937: 937.5 is not what numpy has there.
    assert_eq!(trailing(1000, 1000, 48)[3], 936.0);
    assert_eq!(trailing(1000, 1000, 3), [999.0, 666.0, 332.0]);
}

#[test]
fn times_of_the_straight_path_are_shifted_once() {
    let times = Process::flow(3.0).spaced(4).unwrap();
    let near = |(a, b): (&f64, f64)| (a - b).abs() < 1e-12;
    assert!(times.iter().zip([1.0, 0.9, 0.75, 0.5]).all(near), "{times:?}");
    assert_eq!(Process::flow(1.0).spaced(0), Err(ProcessError::Steps { steps: 0, most: 1000 }));
}

#[test]
fn a_walk_ends_at_the_clean_sample() {
    let process = sdxl(Parameterisation::VPrediction);
    let steps = |rule| Rollout::new(process.clone(), &[999.0, 499.0], rule).unwrap().steps().to_vec();
    let ode = steps(StepRule::Ode);
    assert_eq!(ode[0].next, Next::Ode(process.step(999.0, 499.0).unwrap()));
    assert_eq!((ode[1].next, ode[1].original), (Next::End, process.original(499.0).unwrap()));
    assert_eq!(steps(StepRule::Renoise)[0].next, Next::Renoise(process.level(499.0).unwrap()));
    for times in [vec![], vec![499.0, 499.0], vec![1.0, 2.0], vec![f64::NAN, 1.0]] {
        assert!(matches!(Rollout::new(process.clone(), &times, StepRule::Ode), Err(ProcessError::Times { .. })), "{times:?}");
    }
}

#[test]
fn noise_is_normal_and_every_picture_has_its_own_stream() {
    let values = noise::standard_normal(1, 0, 100_000);
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
    let moment = |power: i32| values.iter().map(|&v| (f64::from(v) - mean).powi(power)).sum::<f64>() / 1e5;
    // Five standard errors of each moment of 100,000 normal values.
    assert!(mean.abs() < 0.016 && (moment(2) - 1.0).abs() < 0.023 && moment(3).abs() < 0.039 && (moment(4) - 3.0).abs() < 0.155);
    assert_eq!(noise::standard_normal(1, 0, 10), values[..10], "a longer draw starts with the shorter one");
    let between = |index, step| noise::between_steps(1, index, step, 10);
    assert!(between(0, 0) != values[..10] && between(0, 0) != between(0, 1) && between(0, 0) != between(1, 0));
    let different = |seed, index| noise::standard_normal(seed, index, 10) != values[..10];
    assert!(different(1, 1) && different(2, 0));
    let latents = noise::latents(9, 5, 2, &[2, 3, 4]).unwrap();
    assert_eq!(latents.shape(), [2, 2, 3, 4]);
    assert_eq!(latents.floats().unwrap()[24..], noise::standard_normal(9, 6, 24));
    assert!(noise::latents(0, 0, 2, &[usize::MAX, 2, 2]).is_err());
}

/// Saved pictures must not change with an update of a crate: these are the values of version 0.1.0.
#[test]
fn noise_is_the_same_forever() {
    assert_eq!(noise::standard_normal(1, 0, 3), [1.6636271, 0.7406675, -0.12714212]);
    assert_eq!(noise::standard_normal(42, 7, 3), [2.4300532, 0.21565667, -0.8806984]);
}

//! The coefficients of the steps against the numbers of distillation.md, 2.2, and against each other.
#![allow(clippy::unwrap_used)]

use dmdx_runtime::bundle::manifest::{Parameterisation, Schedule};
use dmdx_runtime::noise;
use dmdx_runtime::pipeline::steps::{ForwardProcess, affine};

fn sdxl() -> ForwardProcess {
    ForwardProcess::new(&Schedule::ScaledLinear { beta_start: 0.00085, beta_end: 0.012, num_train_timesteps: 1000 })
}

#[test]
fn the_schedule_of_sdxl() {
    // EulerDiscreteScheduler(...).alphas_cumprod of diffusers 0.36.0: a float32 product of up to 1000 factors.
    for (time, abar) in SDXL_ABAR {
        let (alpha, sigma) = sdxl().at(time);
        assert!((alpha * alpha - abar).abs() < 1e-6, "t = {time}: {}", alpha * alpha);
        assert!((alpha * alpha + sigma * sigma - 1.0).abs() < 1e-15);
    }
    assert_eq!(sdxl().at(5000.0), sdxl().at(999.0), "clamped");
}

const SDXL_ABAR: [(f64, f64); 4] =
    [(0.0, 0.9991499781608582), (249.0, 0.6754320859909058), (499.0, 0.27766942977905273), (999.0, 0.00466009508818388)];

/// Every step carries the exact sample to the exact sample: with the true x0 and eps, the output of each parameterisation
/// moves alpha_t x0 + sigma_t eps to alpha_s x0 + sigma_s eps.
#[test]
fn true_outputs_stay_on_the_path() {
    let straight = ForwardProcess::new(&Schedule::Flow { num_train_timesteps: 1000 });
    let (x0, eps) = (0.7, -1.3);
    for (t, s) in [(999.0, 749.0), (500.0, 100.0), (36.0, 20.0)] {
        for (kind, process) in [
            (Parameterisation::Epsilon, sdxl()),
            (Parameterisation::VPrediction, sdxl()),
            (Parameterisation::Flow, straight.clone()),
        ] {
            let (from, to) = (process.at(t), process.at(s));
            let output = match kind {
                Parameterisation::Epsilon => eps,
                Parameterisation::VPrediction => from.0 * eps - from.1 * x0,
                _ => eps - x0,
            };
            for (alpha, sigma) in [to, (1.0, 0.0)] {
                let (keep, add) = affine(kind, from, (alpha, sigma));
                let reached = keep * (from.0 * x0 + from.1 * eps) + add * output;
                assert!((reached - (alpha * x0 + sigma * eps)).abs() < 1e-12, "{kind:?} {t} to {s}");
            }
        }
    }
    assert_eq!(affine(Parameterisation::LineVelocity, sdxl().at(999.0), (1.0, 0.0)), (1.0, -1.0));
}

#[test]
fn noise_is_normal_and_every_picture_has_its_own_stream() {
    let values = noise::standard_normal(1, 0, 100_000);
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
    let moment = |power: i32| values.iter().map(|&v| (f64::from(v) - mean).powi(power)).sum::<f64>() / 1e5;
    // Five standard errors of each moment of 100,000 normal values.
    assert!(mean.abs() < 0.016 && (moment(2) - 1.0).abs() < 0.023 && moment(3).abs() < 0.039 && (moment(4) - 3.0).abs() < 0.155);
    assert_eq!(noise::standard_normal(1, 0, 10), values[..10], "a longer draw starts with the shorter one");
    let different = |seed, index| noise::standard_normal(seed, index, 10) != values[..10];
    assert!(different(1, 1) && different(2, 0));
    let latents = noise::latents(9, 5, 2, [2, 3, 4]).unwrap();
    assert_eq!(latents.shape(), [2, 2, 3, 4]);
    assert_eq!(latents.floats().unwrap()[24..], noise::standard_normal(9, 6, 24));
    assert!(noise::latents(0, 0, 2, [usize::MAX, 2, 2]).is_err());
}

/// Saved pictures must not change with an update of a crate: these are the values of version 0.1.0.
#[test]
fn noise_is_the_same_forever() {
    assert_eq!(noise::standard_normal(1, 0, 3), [1.6636271, 0.7406675, -0.12714212]);
    assert_eq!(noise::standard_normal(42, 7, 3), [2.4300532, 0.21565667, -0.8806984]);
}

//! Items 1, 2 and 15: tables and conversions.

use dmdx_runtime::process::{Level, NoiseSchedule, Parameterisation, Process, Rollout, StepRule};
use dmdx_runtime::scheduler;

fn sdxl(predicts: Parameterisation) -> Process {
    NoiseSchedule::scaled_linear(0.00085, 0.012, 1000).process(predicts).unwrap()
}

fn near(found: f64, wanted: f64, within: f64, what: &str) {
    assert!((found - wanted).abs() <= within, "{what}: {found}, not {wanted}");
}

/// Section 2.2: t, sigma / alpha, and the time of the same ratio on the straight path; printed to four digits.
#[test]
fn the_ratios_of_stable_diffusion() {
    let table = [
        (0.0, 0.0292, 0.0283),
        (20.0, 0.1380, 0.1213),
        (249.0, 0.6932, 0.4094),
        (399.0, 1.1606, 0.5372),
        (499.0, 1.6129, 0.6173),
        (749.0, 4.0817, 0.8032),
        (980.0, 13.0431, 0.9288),
        (999.0, 14.6146, 0.9360),
    ];
    for (time, ratio, straight) in table {
        let Level { alpha, sigma } = sdxl(Parameterisation::Epsilon).level(time).unwrap();
        near(sigma / alpha, ratio, 5.1e-5, "sigma / alpha");
        near(sigma / (alpha + sigma), straight, 5.1e-5, "time on the straight path");
    }
}

/// Section 2.2: CogVideoX-2b divides the signal-to-noise ratio by 3 and 5b by 1; both then lose the signal at the end.
#[test]
fn the_tables_of_cogvideox() {
    let table = [
        (3.0, [(124.0, 0.666324), (249.0, 0.390890), (499.0, 0.095970), (749.0, 0.010966), (874.0, 0.001683)], 6.2e-8),
        (1.0, [(124.0, 0.853847), (249.0, 0.654189), (499.0, 0.242359), (749.0, 0.033171), (874.0, 0.005249)], 2.0e-7),
    ];
    for (scale, rows, last_but_one) in table {
        let config = serde_json::json!({
            "_class_name": "CogVideoXDDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
            "prediction_type": "v_prediction", "snr_shift_scale": scale, "rescale_betas_zero_snr": true,
        });
        let process = scheduler::process(&config).unwrap();
        let squared = |time: f64| process.level(time).unwrap().alpha.powi(2);
        for (time, wanted) in rows {
            near(squared(time), wanted, 1e-6, &format!("scale {scale}, t = {time}"));
        }
        near(squared(998.0), last_but_one, 0.05 * last_but_one, "t = 998");
        assert_eq!(squared(999.0), 0.0);
        // A network that predicts v says minus the clean sample of pure noise.
        let last = process.original(999.0).unwrap();
        assert_eq!((last.of_sample, last.of_output), (0.0, -1.0));
    }
    let ratio = scheduler::process(&serde_json::json!({
        "_class_name": "CogVideoXDDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        "prediction_type": "v_prediction", "snr_shift_scale": 3.0, "rescale_betas_zero_snr": true,
    }));
    let Level { alpha, sigma } = ratio.unwrap().level(998.0).unwrap();
    near(sigma / alpha, 4006.0, 0.5, "sigma / alpha of CogVideoX-2b at 998");
}

/// Item 2: a step and the step back, each with what the network should say where it starts, are no step.
#[test]
fn a_step_and_its_reverse_are_nothing() {
    let (x0, eps) = (-0.4, 1.7);
    for predicts in [Parameterisation::Epsilon, Parameterisation::Sample, Parameterisation::VPrediction, Parameterisation::Flow] {
        let process = match predicts {
            Parameterisation::Flow => Process::flow(3.0),
            other => sdxl(other),
        };
        let [t, s] = [900.0, 40.0].map(|told| process.time_told(told).unwrap());
        let at = |time: f64| process.level(time).map(|Level { alpha, sigma }| alpha * x0 + sigma * eps).unwrap();
        let said = |time: f64| process.target(time).map(|(of_x0, of_eps)| of_x0 * x0 + of_eps * eps).unwrap();
        let there = process.step(t, s).unwrap().apply(at(t), said(t));
        near(process.step(s, t).unwrap().apply(there, said(s)), at(t), 1e-12, "there and back");
    }
}

/// Item 15: pure noise is given as if it were the sample at 399.
#[test]
fn one_step_is_told_399() {
    let walk = Rollout::new(sdxl(Parameterisation::Epsilon), &[399.0], StepRule::Renoise).unwrap();
    let [step] = walk.steps() else { panic!("{} steps", walk.steps().len()) };
    let (z, eps) = (0.8, -0.3);
    near(step.original.apply(z, eps), (z - 0.757573 * eps) / 0.652753, 2e-6, "x0");
    assert_eq!(step.network_time, 399.0);
}

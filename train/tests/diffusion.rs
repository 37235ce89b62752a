//! The diffusion core against the reference table, and step by step against what diffusers' schedulers computed.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::process::{Level, NoiseSchedule, Parameterisation, Process};
use dmdx_runtime::scheduler::process;
use dmdx_train::diffusion::NoiseProcess;
use dmdx_train::module::Value;
use safetensors::SafeTensors;

fn values(value: &Value) -> Vec<f32> {
    value.to_f32().unwrap()
}

/// The table of Stable Diffusion 1 to XL.
fn stable_diffusion(parameterisation: Parameterisation) -> Process {
    NoiseSchedule::scaled_linear(0.00085, 0.012, 1000).process(parameterisation).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// distillation.md 2.2: t, alpha², alpha, sigma; printed to six and five digits.
#[test]
fn the_table_of_stable_diffusion() {
    let schedule = stable_diffusion(Parameterisation::Epsilon);
    let table = [
        (0.0, 0.999150, 0.99957, 0.02915),
        (20.0, 0.981314, 0.99061, 0.13670),
        (249.0, 0.675432, 0.82185, 0.56971),
        (399.0, 0.426086, 0.65275, 0.75757),
        (499.0, 0.277670, 0.52694, 0.84990),
        (749.0, 0.056623, 0.23796, 0.97128),
        (980.0, 0.005844, 0.07644, 0.99707),
        (999.0, 0.004660, 0.06826, 0.99767),
    ];
    for (time, squared, alpha, sigma) in table {
        let Level { alpha: a, sigma: s } = schedule.level(time).unwrap();
        assert!((a * a - squared).abs() < 1e-6, "{time}: alpha² is {}", a * a);
        assert!((a - alpha).abs() < 6e-6 && (s - sigma).abs() < 6e-6, "{time}: {a} {s}");
    }
    assert!(schedule.level(1000.0).is_err() && schedule.level(0.5).is_err() && schedule.level(-1.0).is_err());
}

/// distillation.md 2.2: the signal-to-noise ratio of CogVideoX-2b divided by 3, and a last time without signal.
#[test]
fn the_table_of_cogvideox() {
    let (schedule, _) = scheduler("cogvideox_ddim_2b");
    let table = [(124.0, 0.666324), (249.0, 0.390890), (499.0, 0.095970), (749.0, 0.010966), (874.0, 0.001683), (999.0, 0.0)];
    for (time, squared) in table {
        let Level { alpha, sigma } = schedule.coefficients().level(time).unwrap();
        assert!((alpha * alpha - squared).abs() < 1e-6, "{time}: alpha² is {}", alpha * alpha);
        assert!((alpha * alpha + sigma * sigma - 1.0).abs() < 1e-12);
    }
    // What such a network says of pure noise is -x0.
    assert!(schedule.coefficients().step(999.0, 0.0).unwrap().of_output < 0.0);
}

/// Predicted noise says nothing about x0 where there is no signal.
#[test]
fn a_step_from_predicted_pure_noise_is_refused() {
    let config = serde_json::json!({
        "_class_name": "CogVideoXDDIMScheduler", "prediction_type": "epsilon", "beta_schedule": "scaled_linear",
        "rescale_betas_zero_snr": true,
    });
    let error = process(&config).unwrap().step(999.0, 500.0).unwrap_err();
    assert_eq!(error.to_string(), "a step from predicted noise cannot start where alpha is 0");
}

#[test]
fn trailing_times_are_the_papers() {
    let process = stable_diffusion(Parameterisation::Epsilon);
    assert_eq!(process.spaced(4).unwrap(), [999.0, 749.0, 499.0, 249.0]);
    assert_eq!(process.spaced(1).unwrap(), [999.0]);
    assert_eq!(process.spaced(25).unwrap()[..3], [999.0, 959.0, 919.0]);
}

struct Trace {
    bytes: Vec<u8>,
}

impl Trace {
    fn read(path: &Path) -> Self {
        Self { bytes: std::fs::read(path).unwrap() }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn value(&self, name: &str) -> Value {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        Value::float(self.floats(name), file.tensor(name).unwrap().shape(), &Device::flex()).unwrap()
    }
}

fn scheduler(key: &str) -> (NoiseProcess, Trace) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/schedulers").join(key);
    let config = std::fs::read_to_string(folder.join("scheduler_config.json")).unwrap();
    let schedule = process(&serde_json::from_str(&config).unwrap()).unwrap().into();
    (schedule, Trace::read(&folder.join("trace_5.safetensors")))
}

/// f32 tables there, f64 here: 2e-5 of values around 1 to 5.
#[test]
fn steps_equal_ddim_of_diffusers() {
    for key in ["ddim_sd15", "ddim_sd21", "cogvideox_ddim_2b", "cogvideox_ddim_5b"] {
        let (schedule, trace) = scheduler(key);
        let times = trace.floats("timesteps");
        for i in 0..times.len() - 1 {
            let (from, to) = ([f64::from(times[i])], [f64::from(times[i + 1])]);
            let next =
                schedule.step(&trace.value(&format!("model.{i}")), &trace.value(&format!("sample.{i}")), &from, &to).unwrap();
            let difference = largest_difference(&values(&next), &trace.floats(&format!("sample.{}", i + 1)));
            assert!(difference < 2e-5, "{key} step {i} differs by {difference}");
        }
        let noise_times: Vec<f64> = trace.floats("add_noise.t").into_iter().map(f64::from).collect();
        let noised = schedule.noised(&trace.value("add_noise.x"), &noise_times, &trace.value("add_noise.noise")).unwrap();
        assert!(largest_difference(&values(&noised), &trace.floats("add_noise.out")) < 2e-6);
    }
}

#[test]
fn steps_equal_flow_matching_of_diffusers() {
    let (schedule, trace) = scheduler("flowmatch_sd3");
    let sigmas = trace.floats("sigmas");
    for i in 0..sigmas.len() - 1 {
        let (from, to) = ([f64::from(sigmas[i])], [f64::from(sigmas[i + 1])]);
        let next = schedule.step(&trace.value(&format!("model.{i}")), &trace.value(&format!("sample.{i}")), &from, &to).unwrap();
        let difference = largest_difference(&values(&next), &trace.floats(&format!("sample.{}", i + 1)));
        assert!(difference < 2e-6, "step {i} differs by {difference}");
    }
}

/// Outputs made from (x0, noise) return them, a step with them lands on q, and the target is the output.
#[test]
fn every_parameterisation_is_the_same_path() {
    let device = Device::flex();
    let shape = [3, 2, 2, 2];
    let number = |seed: u32| (0..24u32).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 7.0 - 1.6).collect::<Vec<_>>();
    let (x0, noise) = (Value::float(number(1), &shape, &device).unwrap(), Value::float(number(2), &shape, &device).unwrap());
    let discrete = |prediction| -> (NoiseProcess, [f64; 3], [f64; 3]) {
        (stable_diffusion(prediction).into(), [36.0, 500.0, 980.0], [20.0, 484.0, 964.0])
    };
    let cases = [
        discrete(Parameterisation::Epsilon),
        discrete(Parameterisation::Sample),
        discrete(Parameterisation::VPrediction),
        (Process::flow(3.0).into(), [0.1, 0.5, 0.98], [0.084375, 0.484375, 0.964375]),
    ];
    for (schedule, from, to) in cases {
        let x = schedule.noised(&x0, &from, &noise).unwrap();
        let output = schedule.target(&x0, &from, &noise).unwrap();
        // At t = 980 an error of the f32 output is amplified 13 times in x0.
        assert!(largest_difference(&values(&schedule.x0(&output, &x, &from).unwrap()), &values(&x0)) < 1e-5);
        assert!(largest_difference(&values(&schedule.noise(&output, &x, &from).unwrap()), &values(&noise)) < 1e-5);
        let landed = schedule.step(&output, &x, &from, &to).unwrap();
        let wanted = schedule.noised(&x0, &to, &noise).unwrap();
        assert!(largest_difference(&values(&landed), &values(&wanted)) < 2e-6);
    }
}

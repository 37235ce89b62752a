//! Every scheduler, step by step, against what diffusers 0.36.0 computed (fixtures/schedulers).
//!
//! Set `SCHEDULER_TRACES` to a folder of `make_zoo.py`'s `schedulers` to check its traces too.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dmdx_runtime::Tensor;
use dmdx_runtime::scheduler::{self, Scheduler};
use safetensors::SafeTensors;
use serde_json::Value;

/// Relative to the largest entry before and after a step: diffusers computes it in float32 from both.
const STEP: f32 = 4e-6;

/// Relative, of a noise table's entry: torch's square root is off by one unit in the last place on some machines, and a
/// table that is rescaled to end at zero multiplies that by its nearness to the end.
const ENTRY: f32 = 3e-7;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/schedulers")
}

/// The tensors of one run; `sample.3` may also be row 3 of `sample`.
struct Trace {
    name: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Trace {
    fn get(&self, name: &str) -> Option<Tensor> {
        if let Some(found) = self.tensors.get(name) {
            return Some(found.clone());
        }
        let (stack, row) = name.split_once('.')?;
        let (stack, row) = (self.tensors.get(stack)?, row.parse::<usize>().ok()?);
        let values = stack.floats().unwrap().chunks(stack.row_len()).nth(row)?;
        Some(Tensor::f32(&stack.shape()[1..], values.to_vec()).unwrap())
    }

    fn need(&self, name: &str) -> Tensor {
        self.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }

    fn list(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.tensors.get(name)?.floats().unwrap().to_vec())
    }
}

fn tensors(bytes: &[u8]) -> impl Iterator<Item = (String, Tensor)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        (name, Tensor::f32(view.shape(), values).unwrap())
    };
    file.tensors().into_iter().map(read).collect::<Vec<_>>().into_iter()
}

/// The largest difference over the largest entry.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    relative(a, b, b.iter().fold(1e-3f32, |m, v| m.max(v.abs())))
}

/// The largest difference over `scale`.
fn relative(a: &[f32], b: &[f32], scale: f32) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| if a.is_nan() { f32::INFINITY } else { (a - b).abs() }).fold(0.0, f32::max) / scale
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.floats().unwrap().iter().fold(1e-3, |m, v| m.max(v.abs()))
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Runs a whole trace; returns the worst difference of a step.
fn replay(trace: &Trace, scheduler: &mut Scheduler, steps: usize, mu: Option<f64>) -> f32 {
    let name = &trace.name;
    scheduler.set_timesteps(steps, mu).unwrap();
    let times = scheduler.timesteps().to_vec();
    let wanted = trace.list("timesteps").unwrap();
    assert!(difference(&narrow(&times), &wanted) < 1.3e-7, "{name}: timesteps {times:?}, not {wanted:?}");
    if let (Some(wanted), Some(sigmas)) = (trace.list("sigmas"), scheduler.sigmas()) {
        assert!(difference(&narrow(sigmas), &wanted) < 1e-5, "{name}: sigmas {sigmas:?}, not {wanted:?}");
        let near = |(a, b): (&f64, &f32)| (*a as f32 - b).abs() <= 4e-5 * b;
        assert!(sigmas.iter().zip(&wanted).all(near), "{name}: sigmas {sigmas:?}, not {wanted:?}");
    }
    if let (Some(wanted), Some(table)) = (trace.list("alphas_cumprod"), scheduler.alphas_cumprod()) {
        let worst = difference(&narrow(table), &wanted);
        assert!(worst < ENTRY, "{name}: alphas_cumprod differs by {worst}");
    }
    if let (Some(wanted), Some(table)) = (trace.list("table"), scheduler.alphas_cumprod()) {
        let end = table.len();
        let picked: Vec<f32> = [0, 1, 17, end - 17, end - 3, end - 2, end - 1].map(|index| table[index] as f32).to_vec();
        assert!(difference(&picked, &wanted) < ENTRY, "{name}: alphas_cumprod {picked:?}, not {wanted:?}");
    }
    let init = trace.list("init_noise_sigma").unwrap()[0];
    assert!((scheduler.init_noise_sigma() as f32 - init).abs() <= 3e-5 * init, "{name}: init_noise_sigma");
    let mut worst = 0.0f32;
    for (index, &time) in times.iter().enumerate() {
        let sample = trace.need(&format!("sample.{index}"));
        let scaled = scheduler.scale_model_input(&sample, time).unwrap();
        let wanted = trace.get(&format!("scaled.{index}")).unwrap_or_else(|| sample.clone());
        assert!(difference(scaled.floats().unwrap(), wanted.floats().unwrap()) < 1e-6, "{name}: input {index}");
        let noise = trace.get(&format!("noise.{index}"));
        if noise.is_none() {
            assert!(!scheduler.draws_noise(time).unwrap(), "{name}: step {index} draws no noise");
        }
        let output = trace.need(&format!("model.{index}"));
        let stepped = scheduler.step(&output, time, &sample, noise.as_ref()).unwrap();
        let next = trace.need(&format!("sample.{}", index + 1));
        let found = relative(stepped.previous.floats().unwrap(), next.floats().unwrap(), largest(&sample).max(largest(&next)));
        assert!(found < STEP, "{name}: step {index} of {} differs by {found}", times.len());
        worst = worst.max(found);
        for key in ["original", "pred_original"] {
            if let (Some(wanted), Some(original)) = (trace.get(&format!("{key}.{index}")), &stepped.original) {
                // x0 is the difference of numbers as large as the sample.
                let scale = largest(&sample).max(1.0);
                let close = original
                    .floats()
                    .unwrap()
                    .iter()
                    .zip(wanted.floats().unwrap())
                    .all(|(a, b)| (a - b).abs() < 4e-6 * scale.max(b.abs()));
                assert!(close, "{name}: x0 of step {index}");
            }
        }
    }
    assert!(
        scheduler.step(&trace.need("model.0"), times[0], &trace.need("sample.0"), None).is_err(),
        "{name}: the run has ended"
    );
    scheduler.set_timesteps(steps, mu).unwrap();
    let noise_times: Vec<f64> = trace.list("add_noise.t").unwrap().into_iter().map(f64::from).collect();
    let mixed = scheduler.add_noise(&trace.need("add_noise.x"), &trace.need("add_noise.noise"), &noise_times).unwrap();
    let found = difference(mixed.floats().unwrap(), trace.need("add_noise.out").floats().unwrap());
    assert!(found < STEP, "{name}: add_noise differs by {found}");
    worst
}

fn replay_folder(root: &Path) -> usize {
    let mut traces = 0;
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    for folder in folders {
        let config = std::fs::read_to_string(folder.join("scheduler_config.json")).unwrap();
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
            let Some(steps) = stem.strip_prefix("trace_") else { continue };
            let trace = Trace { name: file.display().to_string(), tensors: tensors(&std::fs::read(&file).unwrap()).collect() };
            let worst = replay(&trace, &mut Scheduler::from_json(&config).unwrap(), steps.parse().unwrap(), None);
            println!("{worst:.1e} {}", trace.name);
            // As released: fewer keys, and some of other classes.
            if let Ok(released) = std::fs::read_to_string(folder.join("released.json")) {
                replay(&trace, &mut Scheduler::from_json(&released).unwrap(), steps.parse().unwrap(), None);
            }
            traces += 1;
        }
    }
    traces
}

#[test]
fn the_traces_of_the_released_settings() {
    assert_eq!(replay_folder(&fixtures()), 14);
    if let Ok(more) = std::env::var("SCHEDULER_TRACES") {
        println!("{} more traces", replay_folder(Path::new(&more)));
    }
}

/// Spacings, prediction types, solver orders, table shapes, shifts and numbers of steps that the released files do not use.
#[test]
fn the_traces_of_other_settings() {
    let bytes = std::fs::read(fixtures().join("settings.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let cases: serde_json::Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    let mut runs: BTreeMap<String, BTreeMap<String, Tensor>> = BTreeMap::new();
    for (name, tensor) in tensors(&bytes) {
        let (case, key) = name.split_once('/').unwrap();
        runs.entry(case.to_owned()).or_default().insert(key.to_owned(), tensor);
    }
    assert_eq!(runs.len(), cases.as_object().unwrap().len());
    for (name, tensors) in runs {
        let case = &cases[&name];
        let mut scheduler = Scheduler::from_config(&case["config"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let trace = Trace { name, tensors };
        let worst = replay(&trace, &mut scheduler, case["steps"].as_u64().unwrap() as usize, case["mu"].as_f64());
        println!("{worst:.1e} {}", trace.name);
    }
}

/// Every number of steps: which times numpy's roundings give.
#[test]
fn the_times_of_every_number_of_steps() {
    let text = std::fs::read_to_string(fixtures().join("timesteps.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    for row in rows.as_array().unwrap() {
        let mut scheduler = Scheduler::from_config(&row["config"]).unwrap();
        for (steps, wanted) in row["sums"].as_array().unwrap().iter().enumerate().map(|(i, sum)| (i + 1, sum.as_f64().unwrap())) {
            scheduler.set_timesteps(steps, None).unwrap_or_else(|error| panic!("{} {steps}: {error}", row["config"]));
            let times = scheduler.timesteps();
            if wanted < 0.0 {
                assert!(times.iter().all(|&time| time >= 0.0), "the time -1 is left out");
                continue;
            }
            let sum: f64 = times.iter().enumerate().map(|(i, time)| (i + 1) as f64 * time).sum();
            // Fractional float32 times of the linspace rows.
            assert!((sum - wanted).abs() < 1e-6 * wanted.max(1.0) + 1e-3, "{} {steps}: {sum}, not {wanted}", row["config"]);
        }
    }
}

/// UniPC, TCD, flow sigmas, and the schedulers that released few-step students are published with (`make_solvers.py`).
#[test]
fn solvers_and_the_schedulers_of_released_students() {
    let v = |k: usize| ((k * 7919 + 13) % 2003) as f64 / 1001.5 - 1.0;
    let pair = |k: usize, scale: f32| Tensor::f32([1, 2], vec![v(k) as f32 * scale, v(k + 1) as f32 * scale]).unwrap();
    let rows = solvers();
    assert_eq!(rows.len(), 29);
    for row in &rows {
        let list = |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
        let (name, steps) = (row["config"].to_string(), row["steps"].as_u64().unwrap() as usize);
        let mut scheduler = Scheduler::from_config(&row["config"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        scheduler.set_timesteps(steps, None).unwrap();
        let (times, wanted) = (scheduler.timesteps().to_vec(), list(&row["timesteps"]));
        assert!(difference(&narrow(&times), &narrow(&wanted)) < 1.3e-7, "{name}: {times:?}, not {wanted:?}");
        if let (Some(sigmas), wanted @ Value::Array(_)) = (scheduler.sigmas(), &row["sigmas"]) {
            let wanted = list(wanted);
            // The smallest are differences of float32 numbers near one, as in the traces.
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 4e-5 * b;
            assert!(sigmas.len() == wanted.len() && sigmas.iter().zip(&wanted).all(near), "{name}: {sigmas:?}, not {wanted:?}");
        }
        let init = row["init"].as_f64().unwrap();
        assert!((scheduler.init_noise_sigma() - init).abs() <= 3e-5 * init, "{name}: init_noise_sigma");
        let mut sample = pair(0, init as f32);
        for (index, &time) in times.iter().enumerate() {
            let noise = scheduler.draws_noise(time).unwrap().then(|| pair(500 + 2 * index, 1.0));
            let stepped = scheduler.step(&pair(10 + 2 * index, 1.0), time, &sample, noise.as_ref()).unwrap();
            let next = Tensor::f32([1, 2], narrow(&list(&row["samples"][index]))).unwrap();
            let scale = largest(&sample).max(largest(&next)).max(1.0);
            let found = relative(stepped.previous.floats().unwrap(), next.floats().unwrap(), scale);
            assert!(found < STEP, "{name}: step {index} differs by {found}");
            sample = next;
        }
    }
}

fn solvers() -> Vec<Value> {
    let file: Value = serde_json::from_slice(&std::fs::read(fixtures().join("solvers.json")).unwrap()).unwrap();
    let whole = |row: &Value| {
        let mut row = row.clone();
        let base = row["base"].as_str().map(|name| file["bases"][name].as_object().unwrap().clone());
        row["config"].as_object_mut().unwrap().extend(base.unwrap_or_default());
        row
    };
    file["runs"].as_array().unwrap().iter().map(whole).collect()
}

/// A class, or a kind of prediction that a class accepts, without a run of diffusers among the fixtures fails here.
#[test]
fn every_class_and_prediction_has_a_reference() {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let mut note = |config: &Value| {
        let word = |key: &str, default: &str| config[key].as_str().unwrap_or(default).to_owned();
        seen.insert((word("_class_name", ""), word("prediction_type", "epsilon")));
    };
    solvers().iter().for_each(|row| note(&row["config"]));
    let bytes = std::fs::read(fixtures().join("settings.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let cases: Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    cases.as_object().unwrap().values().for_each(|case| note(&case["config"]));
    for class in scheduler::classes() {
        for prediction in ["epsilon", "sample", "v_prediction", "flow_prediction"] {
            let config = |more: Value| {
                let mut config = serde_json::json!({"_class_name": class, "skip_prk_steps": true, "prediction_type": prediction});
                config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                config
            };
            let variants = [config(serde_json::json!({})), config(serde_json::json!({"use_flow_sigmas": true}))];
            // Flow matching has one kind, whatever its file says.
            let one_kind = scheduler::parameterisation(&config(serde_json::json!({"prediction_type": "none"}))).is_ok();
            if variants.iter().any(|config| Scheduler::from_config(config).is_ok()) && !(one_kind && prediction != "epsilon") {
                let has = seen.contains(&(class.to_owned(), prediction.to_owned()));
                assert!(has, "{class} with {prediction} has no reference in fixtures/schedulers");
            }
        }
    }
}

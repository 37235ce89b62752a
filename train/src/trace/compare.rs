//! Recorded against repeated numbers.

use std::fmt;

use indexmap::IndexMap;

use super::recorded::Trace;
use crate::discriminator::Features;
use crate::error::TrainError;
use crate::module::{GraphModule, ParameterGradients, Trained, Value};

/// What a repeated iteration computed, under the trace's keys.
#[derive(Default)]
pub(crate) struct Results {
    values: IndexMap<String, Vec<f64>>,
    /// Learning rates by role, for the comparison of updated weights.
    rates: IndexMap<String, f64>,
}

impl Results {
    pub(crate) fn numbers(&mut self, key: &str, values: Vec<f64>) {
        self.values.insert(key.to_string(), values);
    }

    pub(crate) fn value(&mut self, key: &str, value: &Value) -> Result<(), TrainError> {
        self.numbers(&format!("value.{key}"), value.to_f32()?.into_iter().map(f64::from).collect());
        Ok(())
    }

    pub(crate) fn features(&mut self, key: &str, features: &Features) -> Result<(), TrainError> {
        features.iter().try_for_each(|(tap, value)| self.value(&format!("{key}.{tap}"), value))
    }

    /// The root of the mean square of every tap.
    pub(crate) fn root_mean_squares(&mut self, key: &str, features: &Features) -> Result<(), TrainError> {
        for (tap, value) in features {
            let values = value.to_f32()?;
            let sum: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            self.numbers(&format!("value.{key}.{tap}"), vec![(sum / values.len().max(1) as f64).sqrt()]);
        }
        Ok(())
    }

    /// Gradients of the parts of one role, with their norm over all.
    pub(crate) fn gradients(&mut self, role: &str, parts: &[&ParameterGradients]) -> Result<(), TrainError> {
        let mut squares = 0.0;
        for part in parts {
            squares += part.norm()?.powi(2);
            for (name, gradient) in part.iter() {
                self.numbers(&format!("grad.{role}.{name}"), gradient.to_f32()?.into_iter().map(f64::from).collect());
            }
        }
        self.numbers(&format!("grad.{role}.__norm__"), vec![squares.sqrt()]);
        Ok(())
    }

    /// Whether `key` is the gradient of a parameter whose update was repeated too.
    fn is_trained(&self, key: &str) -> bool {
        key.strip_prefix("grad.").is_some_and(|rest| self.values.contains_key(&format!("new.{rest}")))
    }

    /// The weights after the update.
    pub(crate) fn updated(&mut self, role: &str, parts: &[&Trained], rate: f64) -> Result<(), TrainError> {
        parts.iter().try_for_each(|part| self.moved(role, &part.module, rate))
    }

    /// The weights of a network of one role that an update has moved, by `rate` at most in the first one.
    pub(crate) fn moved(&mut self, role: &str, module: &GraphModule, rate: f64) -> Result<(), TrainError> {
        self.rates.insert(role.to_string(), rate);
        for (name, (_, values)) in module.weights()? {
            self.numbers(&format!("new.{role}.{name}"), values.into_iter().map(f64::from).collect());
        }
        Ok(())
    }
}

/// One recorded tensor and how far the repetition is from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The trace's key.
    pub key: String,
    /// Relative L2 error, or the share of weights that are off; NaN where there is nothing to compare.
    pub error: f64,
    /// Largest error that passes.
    pub limit: f64,
}

impl Comparison {
    /// Whether it passes; NaN does not.
    pub fn passed(&self) -> bool {
        self.error <= self.limit
    }
}

/// All recorded tensors of one iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayReport {
    /// The trace.
    pub title: String,
    /// In the order of the keys.
    pub rows: Vec<Comparison>,
}

impl ReplayReport {
    /// Whether everything that was recorded was repeated.
    pub fn passed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Comparison::passed)
    }

    /// The row closest to its limit, or furthest beyond, of the keys that begin with `prefix`.
    pub fn worst(&self, prefix: &str) -> Option<&Comparison> {
        let rows = self.rows.iter().filter(|row| row.key.starts_with(prefix));
        let share = |row: &Comparison| if row.error.is_nan() { f64::INFINITY } else { row.error / row.limit };
        rows.max_by(|a, b| share(a).total_cmp(&share(b)))
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let width = self.rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
        for row in &self.rows {
            let verdict = if row.passed() { "ok" } else { "FAILED" };
            writeln!(f, "  {:<width$}  {:>9.2e}  of {:>8.1e}  {verdict}", row.key, row.error, row.limit)?;
        }
        let failed = self.rows.iter().filter(|row| !row.passed()).count();
        match (self.passed(), failed) {
            (true, _) => writeln!(f, "{} tensors were repeated", self.rows.len()),
            (false, 0) => writeln!(f, "the trace holds nothing to compare"),
            (false, _) => writeln!(f, "{failed} of {} tensors were not repeated", self.rows.len()),
        }
    }
}

pub(crate) fn compare(trace: &Trace, results: &Results, tolerance: f64) -> Result<ReplayReport, TrainError> {
    let recorded = |key: &str| ["value.", "grad.", "new.", "check."].iter().any(|prefix| key.starts_with(prefix));
    let mut rows = Vec::new();
    for (key, (_, expected)) in trace.tensors().iter().filter(|(key, _)| recorded(key)) {
        let limit = limit(key, expected.len(), tolerance).max((OWN_ROUNDING * trace.deviation(key)).min(tolerance * 5.0));
        let own = own_name(key);
        let found = results.values.get(&own).filter(|values| values.len() == expected.len());
        let error = match (found, key.strip_prefix("new.")) {
            // What the loss does not depend on has no gradient, or one of zeros.
            (None, None) if results.is_trained(&own) && expected.iter().all(|&value| value == 0.0) => 0.0,
            (None, _) => f64::NAN,
            (Some(found), Some(rest)) => {
                let rate = results
                    .rates
                    .iter()
                    .find(|(role, _)| rest.starts_with(&format!("{role}.")))
                    .map_or(f64::NAN, |(_, rate)| *rate);
                share_off(found, expected, rate)
            }
            (Some(found), None) => relative(found, expected),
        };
        rows.push(Comparison { key: key.clone(), error, limit });
    }
    Ok(ReplayReport { title: trace.name().to_string(), rows })
}

/// What a number may differ by, in the recording's own rounding errors: where terms nearly cancel, float32 cannot repeat more.
const OWN_ROUNDING: f64 = 5.0;

/// What a repeated tensor is called here: low-rank factors without the component that the reference library's files name.
fn own_name(key: &str) -> String {
    let parts: Vec<&str> = key.splitn(4, '.').collect();
    match parts[..] {
        [kind, role, _, name] if is_factor(key) => format!("{kind}.{role}.{name}"),
        _ => key.to_string(),
    }
}

fn is_factor(key: &str) -> bool {
    key.ends_with(".lora_A.weight") || key.ends_with(".lora_B.weight")
}

fn limit(key: &str, elements: usize, tolerance: f64) -> f64 {
    if key.starts_with("new.") && is_factor(key) {
        2.0 / elements.max(1) as f64
    } else if key.starts_with("new.") {
        1e-3
    } else if key.starts_with("value.") || key.ends_with(".__norm__") {
        tolerance / 10.0
    } else if key.starts_with("grad.heads.") && (key.contains(".squash.conv.") || key.contains(".blocks.0.conv.")) {
        tolerance * 5.0
    } else {
        tolerance
    }
}

/// `|a - b| / |b|` in the L2 norm.
fn relative(found: &[f64], expected: &[f64]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = square(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    difference / square(&mut expected.iter().copied()).max(1e-12)
}

/// The share of weights that are off by more than 2 % of the learning rate (and their own rounding).
fn share_off(found: &[f64], expected: &[f64], rate: f64) -> f64 {
    if rate.is_nan() {
        return f64::NAN;
    }
    let off = found.iter().zip(expected).filter(|(a, b)| {
        let error = (*a - *b).abs();
        error.is_nan() || error > 0.02 * rate + 1e-7 * a.abs()
    });
    off.count() as f64 / found.len().max(1) as f64
}

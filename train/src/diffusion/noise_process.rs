//! A noise process applied to tensors, one time per sample.

use dmdx_runtime::process::{Affine, Boundary, Level, Process, ProcessError};

use crate::error::TrainError;
use crate::module::Value;

/// A forward process and what a network on it predicts. Times are table indices, or from 0 to 1 on the straight path.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseProcess(Process);

impl From<Process> for NoiseProcess {
    fn from(process: Process) -> Self {
        Self(process)
    }
}

impl NoiseProcess {
    /// Its coefficients.
    pub fn coefficients(&self) -> &Process {
        &self.0
    }

    /// What the network is told the times are, rounded once.
    pub fn network_times(&self, times: &[f64]) -> Vec<f32> {
        times.iter().map(|&time| self.0.network_time(time) as f32).collect()
    }

    /// The forward process: `q(x_t | x_0)` with the given noise.
    ///
    /// # Errors
    /// When a time is not on the process, or there are not as many as samples.
    pub fn noised(&self, x0: &Value, times: &[f64], noise: &Value) -> Result<Value, TrainError> {
        let weights = each(times, |time| self.0.level(time).map(|Level { alpha, sigma }| (alpha, sigma)))?;
        mixed(x0, noise, &weights)
    }

    /// `x0` from the raw output.
    ///
    /// # Errors
    /// As [`NoiseProcess::noised`]; also where `alpha` is zero and the output is noise.
    pub fn x0(&self, output: &Value, x: &Value, times: &[f64]) -> Result<Value, TrainError> {
        mixed(x, output, &each(times, |time| self.0.original(time).map(pair))?)
    }

    /// The consistency function from the raw output: `x0`, but the sample itself where a noise table begins.
    ///
    /// # Errors
    /// As [`NoiseProcess::x0`].
    pub fn consistent(&self, output: &Value, x: &Value, times: &[f64], boundary: Boundary) -> Result<Value, TrainError> {
        mixed(x, output, &each(times, |time| self.0.consistent(time, boundary).map(pair))?)
    }

    /// The noise from the raw output.
    ///
    /// # Errors
    /// As [`NoiseProcess::noised`]; also where `sigma` is zero and the output is the clean sample.
    pub fn noise(&self, output: &Value, x: &Value, times: &[f64]) -> Result<Value, TrainError> {
        mixed(x, output, &each(times, |time| self.0.noise(time).map(pair))?)
    }

    /// What the network should have said about `x0` and `noise`: the target of its training loss.
    ///
    /// # Errors
    /// As [`NoiseProcess::noised`].
    pub fn target(&self, x0: &Value, times: &[f64], noise: &Value) -> Result<Value, TrainError> {
        mixed(x0, noise, &each(times, |time| self.0.target(time))?)
    }

    /// One step of the probability-flow ODE (DDIM, Euler) from the raw output, one pair of times per sample.
    ///
    /// # Errors
    /// As [`NoiseProcess::noised`]; also where a step starts from noise that the network says is noise.
    pub fn step(&self, output: &Value, x: &Value, from: &[f64], to: &[f64]) -> Result<Value, TrainError> {
        let pairs = from.iter().zip(to).map(|(&from, &to)| self.0.step(from, to).map(pair));
        mixed(x, output, &pairs.collect::<Result<Vec<_>, _>>()?)
    }
}

/// `a x + b o` with one map for all samples.
pub(super) fn applied(map: Affine, x: &Value, output: &Value) -> Result<Value, TrainError> {
    mixed(x, output, &vec![pair(map); x.shape().first().copied().unwrap_or(0)])
}

/// `alpha x0 + sigma noise` with one level for all samples.
pub(super) fn noised_to(level: Level, x0: &Value, noise: &Value) -> Result<Value, TrainError> {
    mixed(x0, noise, &vec![(level.alpha, level.sigma); x0.shape().first().copied().unwrap_or(0)])
}

pub(super) fn pair(map: Affine) -> (f64, f64) {
    (map.of_sample, map.of_output)
}

fn each(times: &[f64], weights: impl Fn(f64) -> Result<(f64, f64), ProcessError>) -> Result<Vec<(f64, f64)>, ProcessError> {
    times.iter().map(|&time| weights(time)).collect()
}

/// `w_a a + w_b b`, one pair of weights per sample. Weights of one and zero leave their operations out, which changes no bit.
pub(super) fn mixed(a: &Value, b: &Value, weights: &[(f64, f64)]) -> Result<Value, TrainError> {
    let (of_a, of_b): (Vec<f64>, Vec<f64>) = weights.iter().copied().unzip();
    let all = |weights: &[f64], value: f64| !weights.is_empty() && weights.iter().all(|&weight| weight == value);
    let scaled = |value: &Value, weights: &[f64]| {
        if all(weights, 1.0) && value.shape().first() == Some(&weights.len()) {
            Ok(value.clone())
        } else {
            value.per_sample(weights)
        }
    };
    match (all(&of_a, 0.0), all(&of_b, 0.0)) {
        (true, false) => Ok(scaled(b, &of_b)?),
        (false, true) => Ok(scaled(a, &of_a)?),
        _ => Ok(scaled(a, &of_a)?.plus(&scaled(b, &of_b)?)),
    }
}

//! The teacher's deterministic sampler: first-order steps of the probability-flow ODE.

use super::denoiser::{Conditions, Denoiser};
use crate::error::TrainError;
use crate::module::Value;

/// "Trailing" times of a table of `count`: `round(count (1 - i / steps)) - 1` for `i = 0 .. steps`, halves to even.
pub fn trailing_times(count: usize, steps: usize) -> Vec<f64> {
    let count = count as f64;
    (0..steps).map(|i| (count * (1.0 - i as f64 / steps as f64)).round_ties_even() - 1.0).collect()
}

/// The teacher's latents from unit noise: guided Euler steps (DDIM) along the trailing times, the last one to x0.
///
/// For a table model the noise is taken as `x` at the first time, as diffusers' DDIM does: `alpha` there is nearly 0.
///
/// # Errors
/// When shapes do not fit the network.
pub fn sample(
    teacher: &Denoiser,
    noise: &Value,
    conditions: &Conditions,
    weights: &[f64],
    steps: usize,
) -> Result<Value, TrainError> {
    let samples = weights.len();
    let times = match teacher.schedule.steps() {
        Some(count) => trailing_times(count, steps),
        None => (0..steps).map(|i| 1.0 - i as f64 / steps as f64).collect(),
    };
    let mut x = noise.detached();
    for (i, &time) in times.iter().enumerate() {
        let now = vec![time; samples];
        let output = teacher.guided(&x, &now, conditions, weights)?.guided;
        x = match times.get(i + 1) {
            Some(&next) => teacher.schedule.step(&output, &x, &now, &vec![next; samples])?,
            None => teacher.schedule.x0(&output, &x, &now)?,
        };
    }
    Ok(x)
}

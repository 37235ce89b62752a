//! The cumulative noise tables of discrete-time models, from `scheduler_config.json`.

use dmdx_runtime::scheduler::noise_table;
use serde_json::Value as Json;

use crate::error::TrainError;

/// `prod (1 - beta_i)` for `beta_i` linear in the square root (diffusers' `scaled_linear`), all in f64.
pub(super) fn scaled_linear(start: f64, end: f64, count: usize) -> Vec<f64> {
    let (from, to) = (start.sqrt(), end.sqrt());
    cumulative((0..count).map(|i| (from + i as f64 * (to - from) / (count.max(2) - 1) as f64).powi(2)))
}

fn cumulative(betas: impl Iterator<Item = f64>) -> Vec<f64> {
    betas
        .scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        })
        .collect()
}

/// The table that a scheduler's configuration describes.
///
/// # Errors
/// When it asks for something that is not supported.
pub(super) fn from_config(config: &Json) -> Result<Vec<f64>, TrainError> {
    noise_table(config).map_err(|error| TrainError::component("reading the teacher's scheduler", error))
}

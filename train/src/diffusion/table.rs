//! The cumulative noise tables of discrete-time models, from `scheduler_config.json`.

use serde_json::Value as Json;

use crate::error::TrainError;

/// `prod (1 - beta_i)` for `beta_i` linear in the square root (diffusers' `scaled_linear`), all in f64.
pub(super) fn scaled_linear(start: f64, end: f64, count: usize) -> Vec<f64> {
    let (from, to) = (start.sqrt(), end.sqrt());
    cumulative((0..count).map(|i| (from + i as f64 * (to - from) / (count.max(2) - 1) as f64).powi(2)))
}

/// The same for `beta_i` linear.
pub(super) fn linear(start: f64, end: f64, count: usize) -> Vec<f64> {
    cumulative((0..count).map(|i| start + i as f64 * (end - start) / (count.max(2) - 1) as f64))
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
/// When it asks for something that is not implemented.
pub(super) fn from_config(config: &Json) -> Result<Vec<f64>, TrainError> {
    let refuse = |key: &str, reason: &str| {
        Err(TrainError::Invalid(format!("the teacher's scheduler has {key} = {}, {reason}", config[key])))
    };
    let count = config["num_train_timesteps"].as_u64().unwrap_or(1000);
    if !(2..=100_000).contains(&count) {
        return refuse("num_train_timesteps", "but 2 to 100000 are possible");
    }
    if config["trained_betas"].is_array() {
        return refuse("trained_betas", "but only beta_schedule is supported");
    }
    if config["rescale_betas_zero_snr"] == Json::Bool(true) {
        return refuse("rescale_betas_zero_snr", "which is not supported yet");
    }
    if config["snr_shift_scale"].as_f64().is_some_and(|scale| scale != 1.0) {
        return refuse("snr_shift_scale", "which is not supported yet");
    }
    let beta = |key: &str, default: f64| config[key].as_f64().unwrap_or(default);
    let (start, end) = (beta("beta_start", 1e-4), beta("beta_end", 0.02));
    if !(start > 0.0 && start <= end && end < 1.0) {
        return refuse("beta_start", "but 0 < beta_start <= beta_end < 1 is needed");
    }
    match config["beta_schedule"].as_str().unwrap_or("linear") {
        "scaled_linear" => Ok(scaled_linear(start, end, count as usize)),
        "linear" => Ok(linear(start, end, count as usize)),
        _ => refuse("beta_schedule", "but scaled_linear and linear are supported"),
    }
}

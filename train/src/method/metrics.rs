//! The numbers of an iteration that are logged and watched.

use crate::error::TrainError;
use crate::module::{ParameterGradients, Trained, Value};
use crate::session::logs::Metrics;

/// Adds mean and standard deviation of generated latents.
pub(super) fn latents(metrics: &mut Metrics, latents: &Value) -> Result<(), TrainError> {
    let values = latents.to_f32()?;
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    metrics.insert("latent_mean".into(), mean);
    metrics.insert("latent_std".into(), variance.sqrt());
    Ok(())
}

/// Adds the mean of decoded pictures.
pub(super) fn brightness(metrics: &mut Metrics, pictures: &Value) -> Result<(), TrainError> {
    metrics.insert("brightness".into(), pictures.mean().scalar()?);
    Ok(())
}

/// Adds the mean of the weights that guide the teacher.
pub(super) fn guidance(metrics: &mut Metrics, weights: &[f64]) {
    metrics.insert("guidance_weight".into(), weights.iter().sum::<f64>() / weights.len().max(1) as f64);
}

/// Adds what the update of a role is made with: the L2 norm of its gradients, and its learning rate.
pub(super) fn update(
    metrics: &mut Metrics,
    role: &str,
    trained: &Trained,
    gradients: &ParameterGradients,
) -> Result<(), TrainError> {
    metrics.insert(format!("grad_norm_{role}"), gradients.logged_norm()?);
    metrics.insert(format!("lr_{role}"), trained.optimizer.rate());
    Ok(())
}

/// The root of the mean squared difference.
pub(super) fn distance(a: &Value, b: &Value) -> Result<f64, TrainError> {
    Ok(a.minus(b).square().mean().scalar()?.sqrt())
}

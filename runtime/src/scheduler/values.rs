//! What a step does to every element: in f64, rounded to float32 once.

use super::config::Config;
use crate::{Error, Tensor};

/// What one step made.
#[derive(Debug, Clone, PartialEq)]
pub struct Stepped {
    /// The sample at the next, less noisy time.
    pub previous: Tensor,
    /// The clean sample as this step saw it, where the method computes one.
    pub original: Option<Tensor>,
}

/// What a network's raw output means at `alpha x0 + sigma eps` with `alpha² + sigma² = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prediction {
    /// The noise.
    Epsilon,
    /// The clean sample.
    Sample,
    /// `alpha eps - sigma x0`.
    Velocity,
}

impl Prediction {
    /// `prediction_type`.
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let choices = [("epsilon", Self::Epsilon), ("sample", Self::Sample), ("v_prediction", Self::Velocity)];
        config.choice("prediction_type", "epsilon", &choices)
    }

    /// `prediction_type` of a class that does not know `sample`.
    pub(super) fn without_sample(config: &Config) -> Result<Self, Error> {
        let choices = [("epsilon", Self::Epsilon), ("v_prediction", Self::Velocity)];
        config.choice("prediction_type", "epsilon", &choices)
    }

    /// The clean sample from `alpha²`.
    pub(super) fn original(self, bar: f64, sample: f64, output: f64) -> f64 {
        let (alpha, sigma) = (bar.sqrt(), (1.0 - bar).sqrt());
        match self {
            Self::Epsilon => (sample - sigma * output) / alpha,
            Self::Sample => output,
            Self::Velocity => alpha * sample - sigma * output,
        }
    }

    /// Refuses to find x0 from noise where there is no signal.
    pub(super) fn check(self, bar: f64, time: f64, clip: Option<f64>) -> Result<(), Error> {
        if self == Self::Epsilon && bar == 0.0 && clip.is_none() {
            return Err(Error::Scheduler(format!(
                "at time {time} the rescaled noise table leaves no signal, so x0 cannot be computed from predicted noise; use v_prediction or rescale_betas_zero_snr = false"
            )));
        }
        Ok(())
    }
}

/// `clip_sample_range` where `clip_sample` is set; dynamic thresholding is refused.
pub(super) fn clip(config: &Config, default: bool) -> Result<Option<f64>, Error> {
    config.unset(&["thresholding"])?;
    let range = config.number("clip_sample_range", 1.0)?;
    if range <= 0.0 {
        return Err(config.refuse("clip_sample_range", "but a positive number is needed"));
    }
    Ok(config.flag("clip_sample", default)?.then_some(range))
}

/// Clamps to `-range..=range`.
pub(super) fn clipped(value: f64, range: Option<f64>) -> f64 {
    range.map_or(value, |range| value.clamp(-range, range))
}

/// `f(sample, output, noise) = (previous, original)` for every element; absent noise is zero.
pub(super) fn each(
    sample: &Tensor,
    output: &Tensor,
    noise: Option<&Tensor>,
    f: impl Fn(f64, f64, f64) -> (f64, f64),
) -> Result<Stepped, Error> {
    let noise = noise.map(Tensor::floats).transpose()?;
    let pairs = sample.floats()?.iter().zip(output.floats()?).enumerate();
    let (previous, original) = pairs
        .map(|(index, (&sample, &output))| {
            let noise = noise.and_then(|noise| noise.get(index)).copied().unwrap_or_default();
            let (previous, original) = f(sample.into(), output.into(), noise.into());
            (previous as f32, original as f32)
        })
        .unzip();
    let shape = sample.shape();
    Ok(Stepped { previous: Tensor::f32(shape, previous)?, original: Some(Tensor::f32(shape, original)?) })
}

/// The weighted sum of tensors of one shape.
pub(super) fn blend(terms: &[(f64, &Tensor)]) -> Result<Tensor, Error> {
    let shape = terms.first().map(|(_, tensor)| tensor.shape().to_vec()).unwrap_or_default();
    let mut sum = vec![0.0; shape.iter().product()];
    for (weight, tensor) in terms {
        same(&shape, tensor)?;
        sum.iter_mut().zip(tensor.floats()?).for_each(|(sum, &value)| *sum += weight * f64::from(value));
    }
    Tensor::f32(shape, sum.into_iter().map(|value| value as f32).collect())
}

/// Refuses a tensor of another shape.
pub(super) fn same(shape: &[usize], tensor: &Tensor) -> Result<(), Error> {
    if tensor.shape() == shape {
        return Ok(());
    }
    Err(Error::Shape(format!("a scheduler was given tensors of shapes {shape:?} and {:?}; they must be equal", tensor.shape())))
}

//! What a step does to every element: in f64, rounded to float32 once.

use super::config::Config;
use crate::error::SchedulerError;
use crate::process::{Affine, Level, Parameterisation};
use crate::{Error, Tensor};

/// What one step made.
#[derive(Debug, Clone, PartialEq)]
pub struct Stepped {
    /// The sample at the next, less noisy time.
    pub previous: Tensor,
    /// The clean sample as this step saw it, where the method computes one.
    pub original: Option<Tensor>,
}

/// Below this much signal, what clipping leaves of x0 from predicted noise is its sign.
const LEAST_SIGNAL: f64 = 1e-100;

/// The clean sample as a step sees it: the network's, clipped where the configuration says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Original {
    map: Affine,
    clip: Option<f64>,
}

impl Original {
    /// At a level; `time` is for the message.
    ///
    /// # Errors
    /// [`SchedulerError::NoSignal`] where x0 would have to be found from noise, there is no signal, and nothing is clipped.
    pub(super) fn new(prediction: Parameterisation, level: Level, time: f64, clip: Option<f64>) -> Result<Self, Error> {
        let alpha = if clip.is_some() { level.alpha.max(LEAST_SIGNAL) } else { level.alpha };
        let map = prediction.original(Level { alpha, ..level }).map_err(|_| SchedulerError::NoSignal { time })?;
        Ok(Self { map, clip })
    }

    /// Of one element.
    pub(super) fn of(self, sample: f64, output: f64) -> f64 {
        let value = self.map.apply(sample, output);
        self.clip.map_or(value, |range| value.clamp(-range, range))
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

/// Refuses a tensor of another shape.
pub(super) fn same(shape: &[usize], tensor: &Tensor) -> Result<(), Error> {
    if tensor.shape() == shape {
        return Ok(());
    }
    Err(Error::Shape(format!("a scheduler was given tensors of shapes {shape:?} and {:?}; they must be equal", tensor.shape())))
}

//! The random numbers that methods share.

use crate::error::TrainError;
use crate::module::Value;
use crate::session::Draws;
use burn::tensor::Device;

/// What batches of latents are like.
#[derive(Clone, Debug)]
pub struct Batches {
    /// Samples of one.
    pub samples: usize,
    /// Shape of one latent.
    pub latent_shape: Vec<usize>,
    /// How many prompts there are.
    pub prompts: usize,
    /// Where they live.
    pub device: Device,
}

impl Batches {
    /// Sizes of a batch.
    pub fn shape(&self) -> Vec<usize> {
        std::iter::once(self.samples).chain(self.latent_shape.iter().copied()).collect()
    }

    /// A prompt for every sample.
    pub fn prompts(&self, draws: &mut Draws) -> Vec<usize> {
        let ids = draws.integers(self.samples, 0, i64::try_from(self.prompts).unwrap_or(i64::MAX));
        ids.into_iter().map(|prompt| prompt as usize).collect()
    }

    /// Standard normal noise.
    ///
    /// # Errors
    /// When the device refuses it.
    pub fn noise(&self, draws: &mut Draws) -> Result<Value, TrainError> {
        let shape = self.shape();
        Ok(Value::float(draws.normal(&shape), &shape, &self.device)?)
    }

    /// So many noises.
    ///
    /// # Errors
    /// When the device refuses one.
    pub fn noises(&self, draws: &mut Draws, count: usize) -> Result<Vec<Value>, TrainError> {
        (0..count).map(|_| self.noise(draws)).collect()
    }
}

//! The random numbers that methods share.

use crate::data::{LatentStore, PairStore, StoredConditions};
use crate::diffusion::ConditionBatch;
use crate::error::TrainError;
use crate::module::Value;
use crate::session::Draws;
use burn::tensor::Device;

/// Noise and what the teacher's deterministic sampler made of it.
#[derive(Clone, Debug)]
pub struct OdePairs {
    /// The teacher's latents.
    pub x_0: Value,
    /// The noise that they came from.
    pub x_t: Value,
    /// The prompts' conditions.
    pub condition: ConditionBatch,
}

/// Clean latents with what they show.
#[derive(Clone, Debug)]
pub struct Captioned {
    /// The latents.
    pub x_0: Value,
    /// Their captions, among the conditions of all texts.
    pub captions: Vec<usize>,
}

/// Guidance weights, uniform in a range.
pub(super) fn guidance_weights(draws: &mut Draws, [low, high]: [f64; 2], count: usize) -> Vec<f64> {
    draws.uniform(count).into_iter().map(|u| low + (high - low) * f64::from(u)).collect()
}

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

    /// The pairs at `indices`, one per sample.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn pairs(
        &self,
        store: &PairStore,
        conditions: &StoredConditions,
        indices: &[i64],
    ) -> Result<OdePairs, TrainError> {
        let ([x_0, x_t], prompts) = self.prompted_pairs(store, indices)?;
        Ok(OdePairs { x_0, x_t, condition: conditions.conditional(&prompts)? })
    }

    /// Latents and noises of the pairs at `indices`, one per sample, and their prompts.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn prompted_pairs(&self, store: &PairStore, indices: &[i64]) -> Result<([Value; 2], Vec<usize>), TrainError> {
        let (pairs, shape) = (store.batch(indices)?, self.shape());
        let prompts = pairs.prompts.iter().map(|&prompt| prompt as usize).collect();
        let [x_0, x_t] = [pairs.latents, pairs.noise].map(|values| Value::float(values, &shape, &self.device));
        Ok(([x_0?, x_t?], prompts))
    }

    /// Real latents, one per sample.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn reals(&self, store: &LatentStore, draws: &mut Draws) -> Result<Captioned, TrainError> {
        let indices = draws.integers(self.samples, 0, i64::try_from(store.len()).unwrap_or(i64::MAX));
        let batch = store.batch(&indices)?;
        Ok(Captioned { x_0: Value::float(batch.latents, &self.shape(), &self.device)?, captions: batch.captions })
    }

    /// The teacher's latents of pairs, one per sample, with their prompts as captions.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn latents(&self, store: &PairStore, draws: &mut Draws) -> Result<Captioned, TrainError> {
        let pairs = store.batch(&draws.integers(self.samples, 0, store.len() as i64))?;
        let captions = pairs.prompts.into_iter().map(|prompt| prompt as usize).collect();
        Ok(Captioned { x_0: Value::float(pairs.latents, &self.shape(), &self.device)?, captions })
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

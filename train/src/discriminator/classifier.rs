//! The classifier of DMD2: heads on the features of the network that follows the student, which is trained with them.

use super::feature::{FeatureLayout, Features, Tap};
use super::heads::Heads;
use super::latent::tapped;
use crate::diffusion::{ConditionBatch, Denoiser};
use crate::error::TrainError;
use crate::module::Value;

/// A trained head per tap of a network that others hold. Sees the time and the condition; no guidance.
#[derive(Clone, Debug)]
pub struct Classifier {
    taps: Vec<Tap>,
    layout: FeatureLayout,
    /// Its own trained part.
    pub heads: Heads,
}

impl Classifier {
    /// Heads on these taps.
    pub fn new(taps: &[Tap], layout: FeatureLayout, heads: Heads) -> Self {
        Self { taps: taps.to_vec(), layout, heads }
    }

    /// The logits of noisy samples at times of the network's process, on the tapes of the heads, of the network as far as its
    /// last tap, and of the samples.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn logits(
        &self,
        network: &Denoiser,
        x: &Value,
        times: &[f64],
        condition: &ConditionBatch,
    ) -> Result<Features, TrainError> {
        self.heads.logits(&tapped(network, (&self.taps, &self.layout), (x, times), condition)?)
    }

    /// The logits with network and heads as constants: for the generator's update.
    ///
    /// # Errors
    /// As [`Classifier::logits`].
    pub fn logits_of_frozen(
        &self,
        network: &Denoiser,
        x: &Value,
        times: &[f64],
        condition: &ConditionBatch,
    ) -> Result<Features, TrainError> {
        let frozen = network.with_module(network.module.frozen());
        self.heads.logits_of_frozen(&tapped(&frozen, (&self.taps, &self.layout), (x, times), condition)?)
    }
}

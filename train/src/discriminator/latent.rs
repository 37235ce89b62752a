//! The discriminator of noisy latents: heads on the teacher's own features.

use dmdx_graph::Graph;

use super::feature::{FeatureLayout, Features, Tap};
use super::heads::Heads;
use crate::diffusion::{ConditionBatch, Denoiser};
use crate::error::TrainError;
use crate::module::{GraphModule, Value};

/// Frozen teacher features with a trained head per tap. Sees the time and the condition; no guidance.
#[derive(Clone, Debug)]
pub struct LatentDiscriminator {
    backbone: Denoiser,
    taps: Vec<Tap>,
    layout: FeatureLayout,
    /// The trained part.
    pub heads: Heads,
}

impl LatentDiscriminator {
    /// Taps the teacher, sharing its weights. The backbone ends at its last tap.
    ///
    /// # Errors
    /// When a tap is not a module of the teacher.
    pub fn new(teacher: &Denoiser, graph: &Graph, taps: &[Tap], layout: FeatureLayout, heads: Heads) -> Result<Self, TrainError> {
        let marks: Vec<String> = taps.iter().map(|tap| tap.mark.clone()).collect();
        let tapped = graph.tapped(&marks).map_err(|error| TrainError::component("tapping the teacher", error))?;
        let backbone = teacher.with_module(teacher.module.share(&tapped)?.frozen().labelled("latent backbone"));
        Ok(Self { backbone, taps: taps.to_vec(), layout, heads })
    }

    /// Backbone and heads.
    pub fn modules_mut(&mut self) -> [&mut GraphModule; 2] {
        [&mut self.backbone.module, &mut self.heads.trained.module]
    }

    /// The frozen part.
    pub fn backbone(&self) -> &GraphModule {
        &self.backbone.module
    }

    /// The tapped features of latents at times of the teacher's process, channels first.
    ///
    /// # Errors
    /// When shapes do not fit the teacher.
    pub fn features(&self, x: &Value, times: &[f64], condition: &ConditionBatch) -> Result<Features, TrainError> {
        tapped(&self.backbone, (&self.taps, &self.layout), (x, times), condition)
    }
}

/// The tapped features of noisy samples, channels first. The network runs no further than its last tap.
pub(super) fn tapped(
    network: &Denoiser,
    (taps, layout): (&[Tap], &FeatureLayout),
    (x, times): (&Value, &[f64]),
    condition: &ConditionBatch,
) -> Result<Features, TrainError> {
    let Denoiser { module, process, ports } = network;
    let inputs = ports.inputs(x, &process.network_times(times), condition)?;
    let wanted: Vec<&str> = taps.iter().map(|tap| tap.mark.as_str()).collect();
    let features = module.forward(&inputs, &wanted)?.into_values().zip(taps);
    features.map(|(feature, tap)| Ok((tap.name.clone(), layout.channels_first(feature)?))).collect()
}

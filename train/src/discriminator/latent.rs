//! The discriminator of noisy latents: heads on the teacher's own features.

use std::collections::BTreeMap;

use dmdx_graph::Graph;
use dmdx_graph::ir::Bindings;

use super::head_graph::FeatureShape;
use super::heads::{Features, Heads};
use crate::diffusion::{Condition, Denoiser, network_inputs};
use crate::error::TrainError;
use crate::module::{GraphModule, Value};

/// Frozen teacher features with a trained head per tap. Sees the time and the condition; no guidance.
#[derive(Clone, Debug)]
pub struct LatentDiscriminator {
    backbone: GraphModule,
    taps: Vec<String>,
    /// The trained part.
    pub heads: Heads,
}

impl LatentDiscriminator {
    /// Taps the teacher, sharing its weights. The backbone ends at its last tap.
    ///
    /// # Errors
    /// When a tap is not a module of the teacher.
    pub fn new(teacher: &Denoiser, graph: &Graph, taps: &[String], heads: Heads) -> Result<Self, TrainError> {
        let tapped = graph.tapped(taps).map_err(|error| TrainError::component("tapping the teacher", error))?;
        Ok(Self { backbone: teacher.module.share(&tapped)?.frozen(), taps: taps.to_vec(), heads })
    }

    /// The tapped features of a noisy latent.
    ///
    /// # Errors
    /// When shapes do not fit the teacher.
    pub fn features(&self, x: &Value, network_times: &[f32], condition: &Condition) -> Result<Features, TrainError> {
        let inputs = network_inputs(x, network_times, condition)?;
        let wanted: Vec<&str> = self.taps.iter().map(String::as_str).collect();
        self.backbone.forward(&inputs, &wanted)
    }
}

/// The paper's taps of a UNet: the last ResNet of each down block, of the middle and of each up block, in the order in
/// which the network runs them (3.8.1). Empty for a graph that is no UNet.
pub fn last_resnets(graph: &Graph) -> Vec<String> {
    let mut last: BTreeMap<(usize, usize), (usize, String)> = BTreeMap::new();
    for path in graph.marks().keys() {
        let parts: Vec<&str> = path.split('.').collect();
        let (stage, block, resnet) = match parts.as_slice() {
            ["down_blocks", block, "resnets", resnet] => (0, block.parse().ok(), resnet.parse().ok()),
            ["mid_block", "resnets", resnet] => (1, Some(0), resnet.parse().ok()),
            ["up_blocks", block, "resnets", resnet] => (2, block.parse().ok(), resnet.parse().ok()),
            _ => continue,
        };
        if let (Some(block), Some(resnet)) = (block, resnet) {
            let entry = last.entry((stage, block)).or_insert((resnet, path.clone()));
            if resnet >= entry.0 {
                *entry = (resnet, path.clone());
            }
        }
    }
    last.into_values().map(|(_, path)| path).collect()
}

/// The shapes of tapped features for concrete input shapes, without running the network.
///
/// # Errors
/// When a tap is not marked, an input shape does not fit, or a feature is not a map of the given layout.
pub fn feature_shapes(
    graph: &Graph,
    taps: &[String],
    inputs: &[(&str, Vec<usize>)],
    channels_last: bool,
) -> Result<Vec<(String, FeatureShape)>, TrainError> {
    let wrap = |error| TrainError::component("finding the shapes of the taps", error);
    let mut bindings = Bindings::new();
    for (name, id) in graph.inputs() {
        if let Some((_, shape)) = inputs.iter().find(|(given, _)| *given == &**name) {
            graph.value(*id).ty.shape.bind(name, shape, &mut bindings).map_err(wrap)?;
        }
    }
    let shape_of = |tap: &String| {
        let id = graph.marks().get(tap).ok_or_else(|| {
            TrainError::recipe("discriminator.latent_taps", format!("has {tap}, which is no module of {}", graph.name()))
        })?;
        let sizes = graph.value(*id).ty.shape.eval(&bindings).map_err(wrap)?;
        match sizes.as_slice() {
            [_, rows, columns, channels] if channels_last => Ok((tap.clone(), [*channels, *rows, *columns])),
            [_, channels, rows, columns] => Ok((tap.clone(), [*channels, *rows, *columns])),
            other => Err(TrainError::Invalid(format!("{tap} has the shape {other:?}; a head needs four dimensions"))),
        }
    };
    taps.iter().map(shape_of).collect()
}

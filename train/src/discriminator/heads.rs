//! Trained heads, one per tap.

use burn::tensor::Device;
use dmdx_graph::Graph;

use super::feature::{Features, Tap};
use super::head_graph::{self, HeadBias};
use super::head_layer::HeadLayout;
use crate::error::TrainError;
use crate::module::{AdamSettings, GraphModule, Trained, Value, Weights};
use crate::session::Draws;

/// The heads of one discriminator.
#[derive(Clone, Debug)]
pub struct Heads {
    /// All heads in one network: parameters are `<tap>.blocks.0.conv.weight`, ….
    pub trained: Trained,
}

impl Heads {
    /// New heads with drawn weights.
    ///
    /// # Errors
    /// When the layout does not fit the features.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        taps: &[Tap],
        layout: HeadLayout,
        draws: &mut Draws,
        logit_scale: f64,
        bias: HeadBias,
        settings: AdamSettings,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let mut graph = head_graph::build(taps, layout)?;
        head_graph::initialise(&mut graph, draws, logit_scale, bias)?;
        Self::from_graph(&graph, settings, device)
    }

    /// Heads with given weights, which must be exactly those of the layout.
    ///
    /// # Errors
    /// When a weight is missing, unexpected or of another shape.
    pub fn with_weights(
        taps: &[Tap],
        layout: HeadLayout,
        weights: &Weights,
        settings: AdamSettings,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let mut graph = head_graph::build(taps, layout)?;
        for (name, (shape, values)) in weights {
            let weight = dmdx_graph::Weight::from_f32(values, shape.clone())?;
            graph.set_weight(name, weight).map_err(|error| TrainError::component("loading the heads", error))?;
        }
        Self::from_graph(&graph, settings, device)
    }

    fn from_graph(graph: &Graph, settings: AdamSettings, device: &Device) -> Result<Self, TrainError> {
        Ok(Self { trained: Trained::new(GraphModule::new(graph, device, true)?.labelled("heads"), settings) })
    }

    /// The logits of every head. They are on a tape through the heads' weights and through the features' own tape.
    ///
    /// # Errors
    /// When a tap is missing or of another shape.
    pub fn logits(&self, features: &Features) -> Result<Features, TrainError> {
        run(&self.trained.module, features)
    }

    /// The logits with the heads as constants: for the generator's update.
    ///
    /// # Errors
    /// As [`Heads::logits`].
    pub fn logits_of_frozen(&self, features: &Features) -> Result<Features, TrainError> {
        run(&self.trained.module.frozen(), features)
    }
}

fn run(module: &GraphModule, features: &Features) -> Result<Features, TrainError> {
    let inputs: Vec<(&str, Value)> = features.iter().map(|(tap, value)| (tap.as_str(), value.clone())).collect();
    let wanted: Vec<&str> = features.keys().map(String::as_str).collect();
    module.forward(&inputs, &wanted)
}

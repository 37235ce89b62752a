//! The heads as a graph, so that they run, are differentiated, saved and shown like every other network.

use dmdx_graph::ir::Type;
use dmdx_graph::{Dim, Graph, Shape, Weight};

use super::feature::{FeatureShape, Tap};
use super::head_layer::HeadLayout;
use super::{map_head, volume_head};
use crate::error::TrainError;
use crate::session::Draws;

/// Initial biases of the heads' convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadBias {
    /// Zero (register A21).
    #[default]
    Zero,
    /// Uniform within one over the root of the fan-in, as PyTorch initialises convolutions.
    Uniform,
}

/// One graph with a head for every tap: inputs and outputs carry the taps' names.
///
/// See [`map_head`] and [`volume_head`].
///
/// # Errors
/// When the layout does not fit the features.
pub(super) fn build(taps: &[Tap], layout: HeadLayout) -> Result<Graph, TrainError> {
    let mut graph = Graph::new("heads");
    let batch = graph.symbol("batch", "samples", 1);
    for Tap { name: tap, shape, .. } in taps {
        let sizes = std::iter::once(batch.clone()).chain(shape.sizes().iter().map(|&size| Dim::constant(size)));
        let input = graph.input(tap, Type::f32(Shape(sizes.collect())));
        let built = input.and_then(|input| match *shape {
            FeatureShape::Map(sizes) => map_head::build(&mut graph, tap, input, sizes, layout),
            FeatureShape::Volume(sizes) => volume_head::build(&mut graph, tap, (input, &batch), sizes, layout),
        });
        built.map_err(|error| TrainError::component(format!("building the head of {tap}"), error))?;
    }
    Ok(graph)
}

/// Gives a graph of heads its initial weights: convolutions Kaiming-uniform with `a = sqrt(5)`, that is uniform within
/// one over the root of the fan-in; `logit` weights times `logit_scale`; norms one and zero. Drawn in name order.
///
/// # Errors
/// When a weight does not fit, which is a defect of the builder.
pub(super) fn initialise(graph: &mut Graph, draws: &mut Draws, logit_scale: f64, bias: HeadBias) -> Result<(), TrainError> {
    let params: Vec<(String, Vec<usize>)> =
        graph.params().iter().map(|(name, param)| (name.to_string(), param.shape.clone())).collect();
    let fan_in = |stem: &str| {
        let weight = params.iter().find(|(name, shape)| name.strip_suffix(".weight") == Some(stem) && shape.len() >= 4);
        weight.map(|(_, shape)| shape[1..].iter().product::<usize>())
    };
    for (name, shape) in &params {
        let count: usize = shape.iter().product();
        let stem = name.trim_end_matches(".weight").trim_end_matches(".bias");
        let values = match (fan_in(stem), name.ends_with(".weight")) {
            (Some(fan), true) => {
                let scale = if stem.ends_with(".logit") { logit_scale } else { 1.0 };
                uniform(draws, count, scale / (fan as f64).sqrt())
            }
            (Some(fan), false) => match bias {
                HeadBias::Zero => vec![0.0; count],
                HeadBias::Uniform => uniform(draws, count, 1.0 / (fan as f64).sqrt()),
            },
            (None, true) => vec![1.0; count],
            (None, false) => vec![0.0; count],
        };
        let weight = Weight::from_f32(&values, shape.clone())?;
        graph.set_weight(name, weight).map_err(|error| TrainError::component("initialising the heads", error))?;
    }
    Ok(())
}

fn uniform(draws: &mut Draws, count: usize, bound: f64) -> Vec<f32> {
    draws.uniform(count).into_iter().map(|value| ((2.0 * f64::from(value) - 1.0) * bound) as f32).collect()
}

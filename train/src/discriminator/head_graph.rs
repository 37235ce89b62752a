//! The heads as a graph, so that they run, are differentiated, saved and shown like every other network.

use dmdx_graph::ir::Type;
use dmdx_graph::{Dim, Graph, GraphError, Op, Shape, ValueId, Weight};

use super::feature::{FeatureShape, Tap};
use super::volume_head;
use crate::error::TrainError;
use crate::recipe::HeadOutput;
use crate::session::Draws;

/// How every head is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLayout {
    /// Channels between the convolutions.
    pub width: usize,
    /// Groups of the group norms.
    pub groups: usize,
    /// 4×4 convolutions of stride 2 halve the map until its smaller side is at most this.
    pub min_size: usize,
    /// One logit for the whole map, or one for every remaining position.
    pub output: HeadOutput,
}

/// Initial biases of the heads' convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadBias {
    /// Zero (register A21).
    #[default]
    Zero,
    /// Uniform within one over the root of the fan-in, as PyTorch initialises convolutions.
    Uniform,
}

const EPSILON: f64 = 1e-5;

/// One graph with a head for every tap: inputs and outputs carry the taps' names.
///
/// The head of a map is `blocks.N` (4×4 stride-2 convolution, group norm, SiLU) while the map is too large, then `squash`, a
/// convolution with norm and SiLU over the remaining map (or 1×1 for a map of logits), then `logit`, 1×1. For the head of a
/// volume see [`volume_head`].
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
            FeatureShape::Map(sizes) => head(&mut graph, tap, input, sizes, layout),
            FeatureShape::Volume(sizes) => volume_head::build(&mut graph, tap, (input, &batch), sizes, layout),
        });
        built.map_err(|error| TrainError::component(format!("building the head of {tap}"), error))?;
    }
    Ok(graph)
}

fn head(
    graph: &mut Graph,
    tap: &str,
    mut x: ValueId,
    [mut channels, mut rows, mut columns]: [usize; 3],
    layout: HeadLayout,
) -> Result<(), GraphError> {
    let mut block = 0;
    while rows.min(columns) > layout.min_size {
        let place = format!("{tap}.blocks.{block}");
        x = conv(graph, &format!("{place}.conv"), x, [layout.width, channels], 4, 2, 1)?;
        x = norm(graph, &format!("{place}.norm"), x, layout)?;
        (channels, rows, columns) = (layout.width, rows / 2, columns / 2);
        block += 1;
    }
    let kernel = match layout.output {
        HeadOutput::Scalar => layout.min_size.min(rows.min(columns)),
        HeadOutput::Map => 1,
    };
    x = conv(graph, &format!("{tap}.squash.conv"), x, [layout.width, channels], kernel, kernel, 0)?;
    x = norm(graph, &format!("{tap}.squash.norm"), x, layout)?;
    x = conv(graph, &format!("{tap}.logit"), x, [1, layout.width], 1, 1, 0)?;
    graph.output(tap, x)
}

pub(super) fn conv(
    graph: &mut Graph,
    name: &str,
    x: ValueId,
    [out, channels]: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Result<ValueId, GraphError> {
    let weight = graph.param(&format!("{name}.weight"), &[out, channels, kernel, kernel], None)?;
    let bias = graph.param(&format!("{name}.bias"), &[out], None)?;
    let op = Op::Conv2d { stride: [stride; 2], padding: [padding; 4], dilation: [1; 2], groups: 1 };
    graph.push(op, &[x, weight, bias], name)
}

pub(super) fn norm(graph: &mut Graph, name: &str, x: ValueId, layout: HeadLayout) -> Result<ValueId, GraphError> {
    let weight = graph.param(&format!("{name}.weight"), &[layout.width], None)?;
    let bias = graph.param(&format!("{name}.bias"), &[layout.width], None)?;
    graph.push(Op::GroupNorm { groups: layout.groups, eps: EPSILON, silu: true }, &[x, weight, bias], name)
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

//! LPIPS on VGG16 as a graph: how different two pictures look (Zhang et al., arXiv 1801.03924), with the average pooling and the
//! smooth norm that DMD2's regression uses.

use burn::tensor::Device;
use dmdx_graph::ir::{ReduceKind, Type};
use dmdx_graph::{Dim, Graph, GraphError, Op, Shape, ValueId, Weight};
use serde::{Deserialize, Serialize};

use super::vgg::STAGES;
use crate::discriminator::{Features, PixelScaling};
use crate::error::TrainError;
use crate::module::{GraphModule, Value, Weights};
use crate::recipe::PixelInput;

/// Added to the squares of a position's channels before the root, so that it has a slope everywhere.
const EPSILON: f64 = 1e-10;

/// How a map is halved between the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of four (DMD2).
    #[default]
    Average,
    /// The largest of four, as VGG16 was trained.
    Max,
}

/// The frozen network.
#[derive(Clone, Debug)]
pub struct Perceptual {
    module: GraphModule,
    scaling: PixelScaling,
}

impl Perceptual {
    /// The network of these weights (`conv.STAGE.LAYER.weight`, …, `lin.STAGE`) for pictures `[b, 3, height, width]`; its widths
    /// are the weights'.
    ///
    /// # Errors
    /// [`TrainError::Component`] where a weight is missing or does not fit, or the pictures are too small for it.
    pub fn new(weights: &Weights, size: [usize; 2], pooling: Pooling, device: &Device) -> Result<Self, TrainError> {
        let wrap = |error: GraphError| TrainError::component("building the perceptual network", error);
        let mut graph = built(weights, size, pooling).map_err(wrap)?;
        let names: Vec<String> = graph.params().keys().map(ToString::to_string).collect();
        for name in names {
            // Those that the graph was built by.
            let Some((shape, values)) = weights.get(&name) else { continue };
            let shape = if shape.len() == 1 && name.starts_with("lin.") { vec![1, shape[0], 1, 1] } else { shape.clone() };
            graph.set_weight(&name, Weight::from_f32(values, shape)?).map_err(wrap)?;
        }
        let module = GraphModule::new(&graph, device, false)?.labelled("perceptual network");
        Ok(Self { module, scaling: PixelScaling::of(PixelInput::Imagenet) })
    }

    /// The network.
    pub fn network(&self) -> &GraphModule {
        &self.module
    }

    /// What of pictures in [-1, 1] is compared: the features of every stage at length 1.
    ///
    /// # Errors
    /// When the pictures are of another size.
    pub fn features(&self, pictures: &Value) -> Result<Features, TrainError> {
        let names: Vec<String> = (0..STAGES.len()).map(unit).collect();
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        self.module.forward(&[("picture", self.scaling.apply(pictures)?)], &wanted)
    }

    /// How different pictures in [-1, 1] look from those of which these are the features: `[b]`.
    ///
    /// # Errors
    /// As [`Perceptual::features`].
    pub fn distances(&self, pictures: &Value, features: &Features) -> Result<Value, TrainError> {
        let others = features.iter().enumerate().map(|(stage, (_, value))| (other(stage), value.clone()));
        let others: Vec<(String, Value)> = others.collect();
        let mut inputs = vec![("picture", self.scaling.apply(pictures)?)];
        inputs.extend(others.iter().map(|(name, value)| (name.as_str(), value.clone())));
        self.module.output(&inputs, "distance")
    }
}

fn unit(stage: usize) -> String {
    format!("unit.{stage}")
}

fn other(stage: usize) -> String {
    format!("other.{stage}")
}

/// `picture [b, 3, h, w]`, normalised → `unit.0`, … `unit.4`; with `other.0`, … `other.4`, the like of other pictures, →
/// `distance [b]`.
fn built(weights: &Weights, [mut rows, mut columns]: [usize; 2], pooling: Pooling) -> Result<Graph, GraphError> {
    let mut graph = Graph::new("LPIPS");
    let batch = graph.symbol("batch", "samples", 1);
    let shape = |channels: usize, rows: usize, columns: usize| {
        Type::f32(Shape(vec![batch.clone(), Dim::constant(channels), Dim::constant(rows), Dim::constant(columns)]))
    };
    let mut x = graph.input("picture", shape(3, rows, columns))?;
    let (mut channels, mut distance) = (3, None);
    for (stage, layers) in STAGES.iter().enumerate() {
        let place = format!("stages.{stage}");
        if stage > 0 {
            x = graph.push(halving(pooling), &[x], &place)?;
            (rows, columns) = (rows / 2, columns / 2);
        }
        for layer in 0..layers.len() {
            let name = format!("conv.{stage}.{layer}");
            let width = width(weights, &name)?;
            x = convolution(&mut graph, &name, x, [width, channels])?;
            channels = width;
        }
        let own = unit_length(&mut graph, x, &place)?;
        graph.output(&unit(stage), own)?;
        let other = graph.input(&other(stage), shape(channels, rows, columns))?;
        let difference = graph.push(Op::Sub, &[own, other], &place)?;
        let square = graph.push(Op::Mul, &[difference, difference], &place)?;
        let lin = graph.param(&format!("lin.{stage}"), &[1, channels, 1, 1], None)?;
        let weighted = graph.push(Op::Mul, &[square, lin], &place)?;
        let sum = Op::Reduce { kind: ReduceKind::Sum, axes: vec![1], keep_dims: true };
        let map = graph.push(sum, &[weighted], &place)?;
        let mean = Op::Reduce { kind: ReduceKind::Mean, axes: vec![1, 2, 3], keep_dims: false };
        let mean = graph.push(mean, &[map], &place)?;
        distance = Some(match distance {
            Some(sum) => graph.push(Op::Add, &[sum, mean], &place)?,
            None => mean,
        });
    }
    if let Some(distance) = distance {
        graph.output("distance", distance)?;
    }
    Ok(graph)
}

/// How many channels a convolution makes.
fn width(weights: &Weights, name: &str) -> Result<usize, GraphError> {
    let found = weights.get(&format!("{name}.weight")).and_then(|(shape, _)| shape.first().copied());
    found.ok_or_else(|| GraphError::Name {
        kind: "weight",
        name: format!("{name}.weight"),
        reason: "is missing; the VGG16 of LPIPS is needed",
    })
}

fn halving(pooling: Pooling) -> Op {
    let (kernel, stride, padding) = ([2; 2], [2; 2], [0; 4]);
    match pooling {
        Pooling::Average => Op::AvgPool2d { kernel, stride, padding, count_padding: false },
        Pooling::Max => Op::MaxPool2d { kernel, stride, padding },
    }
}

/// 3×3, with ReLU.
fn convolution(graph: &mut Graph, name: &str, x: ValueId, [out, channels]: [usize; 2]) -> Result<ValueId, GraphError> {
    let weight = graph.param(&format!("{name}.weight"), &[out, channels, 3, 3], None)?;
    let bias = graph.param(&format!("{name}.bias"), &[out], None)?;
    let op = Op::Conv2d { stride: [1; 2], padding: [1; 4], dilation: [1; 2], groups: 1 };
    let x = graph.push(op, &[x, weight, bias], name)?;
    graph.push(Op::Relu, &[x], name)
}

/// Every position's channels at length 1, nearly.
fn unit_length(graph: &mut Graph, x: ValueId, place: &str) -> Result<ValueId, GraphError> {
    let squares = graph.push(Op::Mul, &[x, x], place)?;
    let sum = graph.push(Op::Reduce { kind: ReduceKind::Sum, axes: vec![1], keep_dims: true }, &[squares], place)?;
    let above = graph.push(Op::Affine { mul: 1.0, add: EPSILON }, &[sum], place)?;
    let length = graph.push(Op::Sqrt, &[above], place)?;
    graph.push(Op::Div, &[x, length], place)
}

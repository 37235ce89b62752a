//! LPIPS, the learned perceptual distance of two pictures, version 0.1, over the features of VGG16 or AlexNet.
//!
//! The `lpips` package writes no `config.json`; this one is our own, with the names of its arguments:
//!
//! ```json
//! {"_class_name": "LPIPS", "net": "vgg"}
//! ```
//!
//! Tensors have the names of `lpips.LPIPS(net).state_dict()`: `net.slice1.0.weight`, `lin0.model.1.weight`. Those of
//! torchvision, `features.0.weight`, are taken for the former, and `lins.0.model.1.weight`, saved twice, for the latter.

mod layers;

use dmdx_graph::ir::ReduceKind;
use dmdx_graph::{Graph, Op, Type, ValueId};
use serde_json::{Value, json};

use super::config::Config;
use super::graphs::{ArchGraphs, Ignored};
use super::scope::Scope;
use crate::error::Result;
use layers::Backbone;

const IGNORED: [Ignored; 2] = [
    Ignored { pattern: "scaling_layer.", reason: "constants that the graph holds" },
    Ignored { pattern: "classifier.", reason: "torchvision's classifier; only features are compared" },
];

/// Mean and deviation of the pictures that the networks were trained with, for pictures from -1 to 1 (`ScalingLayer`).
const SHIFT: [f64; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f64; 3] = [0.458, 0.448, 0.450];
/// Keeps the division from 0/0 (`normalize_tensor`).
const NORM_EPS: f64 = 1e-10;

/// The part `lpips`: two pictures `in0, in1 [b, 3, 16*h, 16*w]` from -1 to 1 → `distance [b]`. The map of each layer's
/// distance, `[b, 1, rows, columns]`, is marked `lin0` to `lin4`.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let network = match config.choice("net", "alex", &["alex", "vgg", "vgg16"])? {
        "alex" => layers::ALEX,
        _ => layers::VGG16,
    };
    config.fixed(&[("version", json!("0.1")), ("lpips", json!(true)), ("spatial", json!(false))])?;
    Ok(ArchGraphs {
        class: class.into(),
        parts: vec![("lpips".into(), lpips(class, &network)?)],
        ignored: IGNORED.to_vec(),
        renames: network.renames.to_vec(),
        warnings: config.warnings(),
    })
}

fn lpips(class: &str, network: &Backbone) -> Result<Graph> {
    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 1);
    let h = graph.symbol("h", "picture height / 16", network.usual);
    let w = graph.symbol("w", "picture width / 16", network.usual);
    let ty = Type::f32([b.clone(), 3.into(), h.scaled(16), w.scaled(16)]);
    let images = [graph.input("in0", ty.clone())?, graph.input("in1", ty)?];
    let mut scope = Scope::new(&mut graph);
    // Both pictures at once, one after the other in the batch.
    let both = scope.concat(0, &images)?;
    let mut x = scaled(&mut scope, both)?;
    let mut distance = None;
    for (k, slice) in network.slices.iter().enumerate() {
        x = layers::slice(&mut scope.child(&format!("net.slice{}", k + 1)), x, slice)?;
        let unit = unit_length(&mut scope, x)?;
        let halves = [scope.slice(unit, 0, 0, b.clone())?, scope.slice(unit, 0, b.clone(), b.clone())?];
        let difference = scope.op(Op::Sub, &halves)?;
        let square = scope.op(Op::Mul, &[difference, difference])?;
        let map = scope.module(&format!("lin{k}"), |m| linear_layer(m, square))?;
        let mean = scope.op(Op::Reduce { kind: ReduceKind::Mean, axes: vec![1, 2, 3], keep_dims: false }, &[map])?;
        distance = Some(match distance {
            Some(sum) => scope.add(sum, mean)?,
            None => mean,
        });
    }
    if let Some(distance) = distance {
        graph.output("distance", distance)?;
    }
    Ok(graph)
}

/// `ScalingLayer`, channel by channel.
fn scaled(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let mut channels = Vec::new();
    for (c, (shift, scale)) in SHIFT.iter().zip(SCALE).enumerate() {
        let channel = m.slice(x, 1, c, 1)?;
        channels.push(m.affine(channel, 1.0 / scale, -shift / scale)?);
    }
    m.concat(1, &channels)
}

/// Every position's channels at length 1.
fn unit_length(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let squares = m.op(Op::Mul, &[x, x])?;
    let length = m.op(Op::Reduce { kind: ReduceKind::Sum, axes: vec![1], keep_dims: true }, &[squares])?;
    let length = m.op(Op::Sqrt, &[length])?;
    let length = m.affine(length, 1.0, NORM_EPS)?;
    m.op(Op::Div, &[x, length])
}

/// `NetLinLayer` without its dropout: one weight per channel.
fn linear_layer(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let channels = m.size(x, 1);
    let weight = m.child("model.1").param("weight", &[1, channels, 1, 1])?;
    m.op(Op::Conv2d { stride: [1; 2], padding: [0; 4], dilation: [1; 2], groups: 1 }, &[x, weight])
}

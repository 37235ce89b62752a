//! What heads are made of: convolutions and group norms.

use dmdx_graph::{Graph, GraphError, Op, ValueId};

use crate::recipe::HeadOutput;

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

const EPSILON: f64 = 1e-5;

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

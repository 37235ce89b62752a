//! Values of reference modules that a graph computes only as part of a larger operation.

use dmdx_graph::{Graph, Op, Shape, ValueId};
use indexmap::IndexMap;

use crate::error::Result;
use crate::reference::RefTensor;

/// Adds marks for activations that no value of the graph stands for alone but that follow from one operation:
///
/// - `X:1`, the attention weights of the module `X` with one attention;
/// - a group norm that is fused with the SiLU after it.
///
/// # Errors
/// When an added operation does not fit, which is a defect of this function.
pub fn complete_marks(graph: &mut Graph, activations: &IndexMap<String, RefTensor>) -> Result<()> {
    for (path, tensor) in activations {
        if graph.marks().contains_key(path) {
            continue;
        }
        let value = match path.strip_suffix(":1") {
            Some(module) => attention_weights(graph, module, tensor.shape.len())?,
            None => unfused_norm(graph, path)?,
        };
        if let Some(value) = value {
            graph.mark(path, value);
        }
    }
    Ok(())
}

/// The only operation of the module at `path` that `wanted` accepts, with its inputs.
fn only(graph: &Graph, path: &str, wanted: impl Fn(&Op) -> bool) -> Option<(Op, Vec<ValueId>)> {
    let mut found = graph.values().filter(|(_, value)| &*value.origin == path).filter_map(|(id, _)| graph.op(id));
    let mut found = found.by_ref().filter(|(op, _)| wanted(op));
    let (op, inputs) = found.next()?;
    let result = (op.clone(), inputs.to_vec());
    found.next().is_none().then_some(result)
}

/// `softmax(scale * q kᵀ + bias)`, with batch and heads in one dimension when the reference has three.
fn attention_weights(graph: &mut Graph, path: &str, rank: usize) -> Result<Option<ValueId>> {
    let attention = only(graph, path, |op| matches!(op, Op::Sdpa { causal: false, .. }));
    let Some((Op::Sdpa { scale, .. }, inputs)) = attention else { return Ok(None) };
    let [q, k, _, bias @ ..] = inputs.as_slice() else { return Ok(None) };
    let mut scores = graph.push(Op::MatMul { transpose_a: false, transpose_b: true }, &[*q, *k], path)?;
    scores = graph.push(Op::Affine { mul: scale, add: 0.0 }, &[scores], path)?;
    if let [bias] = bias {
        scores = graph.push(Op::Add, &[scores, *bias], path)?;
    }
    let weights = graph.push(Op::Softmax { axis: 3 }, &[scores], path)?;
    let shape = graph.value(weights).ty.shape.clone();
    match (rank, shape.0.as_slice()) {
        (3, [batch, heads, queries, keys]) => {
            let shape = Shape(vec![batch.times(heads), queries.clone(), keys.clone()]);
            Ok(Some(graph.push(Op::Reshape { shape }, &[weights], path)?))
        }
        _ => Ok(Some(weights)),
    }
}

fn unfused_norm(graph: &mut Graph, path: &str) -> Result<Option<ValueId>> {
    match only(graph, path, |op| matches!(op, Op::GroupNorm { silu: true, .. })) {
        Some((Op::GroupNorm { groups, eps, .. }, inputs)) => {
            Ok(Some(graph.push(Op::GroupNorm { groups, eps, silu: false }, &inputs, path)?))
        }
        _ => Ok(None),
    }
}

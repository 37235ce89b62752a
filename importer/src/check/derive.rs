//! Values of reference modules that a graph computes only as part of a larger operation.

use dmdx_graph::{Dim, Graph, Op, Shape, ValueId};
use indexmap::IndexMap;

use crate::error::Result;
use crate::reference::RefTensor;

/// Adds marks for activations that no value of the graph stands for alone but that follow from one operation:
///
/// - `X:1`, the attention weights of the module `X` with one attention;
/// - `X:1`, the position bias that a T5 block `X` hands on, once for every batch element;
/// - `X:1`, the frames that a causal convolution `X` keeps for the next batch of frames;
/// - a group norm that is fused with the SiLU after it.
///
/// # Errors
/// When an added operation does not fit, which is a defect of this function.
pub(super) fn complete_marks(graph: &mut Graph, activations: &IndexMap<String, RefTensor>) -> Result<()> {
    for (path, tensor) in activations {
        if graph.marks().contains_key(path) {
            continue;
        }
        let value = match path.strip_suffix(":1") {
            Some(module) => match attention_weights(graph, module, tensor.shape.len())? {
                None => match position_bias(graph, module)? {
                    None => kept_frames(graph, module)?,
                    bias => bias,
                },
                weights => weights,
            },
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

/// The bias of the only attention below `path`, as large as the scores that it is added to.
fn position_bias(graph: &mut Graph, path: &str) -> Result<Option<ValueId>> {
    let below = format!("{path}.");
    let inside = graph.values().filter(|(_, value)| value.origin.starts_with(&below));
    let mut attentions = inside.filter_map(|(id, _)| match graph.op(id) {
        Some((Op::Sdpa { .. }, [q, k, _, bias])) => Some((*q, *k, *bias)),
        _ => None,
    });
    let found = (attentions.next(), attentions.next());
    drop(attentions);
    let (Some((q, k, bias)), None) = found else { return Ok(None) };
    let [q, k] = [q, k].map(|id| graph.value(id).ty.shape.0.clone());
    let shape = match (q.as_slice(), k.as_slice()) {
        ([batch, heads, queries, _], [_, _, keys, _]) => Shape([batch, heads, queries, keys].map(Clone::clone).to_vec()),
        _ => return Ok(None),
    };
    Ok(Some(graph.push(Op::Expand { shape }, &[bias], path)?))
}

/// What goes before the next batch of frames: of what the convolution in `path` reads in the last batch, as many frames
/// as its kernel has behind the newest one; all frames if it has none.
fn kept_frames(graph: &mut Graph, path: &str) -> Result<Option<ValueId>> {
    let inside = format!("{path}.conv");
    let here = graph.values().filter(|(_, value)| *value.origin == inside);
    let read = here.filter_map(|(id, _)| match graph.op(id) {
        Some((Op::Conv3d { .. }, [x, weight, ..])) => Some((*x, *weight)),
        _ => None,
    });
    let Some((x, weight)) = read.last() else { return Ok(None) };
    let [frames, kernel] = [x, weight].map(|id| graph.value(id).ty.shape.0.get(2).and_then(Dim::known).unwrap_or_default());
    match kernel.checked_sub(1) {
        Some(kept @ 1..) if kept <= frames => {
            let op = Op::Slice { axis: 2, start: (frames - kept).into(), length: kept.into() };
            Ok(Some(graph.push(op, &[x], path)?))
        }
        _ => Ok(Some(x)),
    }
}

/// Of a network that works in batches of frames, the norm of the last one, as marks are.
fn unfused_norm(graph: &mut Graph, path: &str) -> Result<Option<ValueId>> {
    let here = graph.values().filter(|(_, value)| &*value.origin == path);
    let norm = here.filter_map(|(id, _)| match graph.op(id) {
        Some((Op::GroupNorm { groups, eps, silu: true }, inputs)) => Some((*groups, *eps, inputs.to_vec())),
        _ => None,
    });
    let Some((groups, eps, inputs)) = norm.last() else { return Ok(None) };
    Ok(Some(graph.push(Op::GroupNorm { groups, eps, silu: false }, &inputs, path)?))
}

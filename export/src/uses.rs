//! What a network's inputs are read as: ids of a table, times, masks, or activations.

use std::collections::BTreeMap;

use dmdx_graph::ir::PoolRule;
use dmdx_graph::{Def, Graph, Op, ValueId};

/// What an input is read as.
pub(crate) struct Uses {
    /// Rows of the smallest table that it indexes; two of a mask.
    pub(crate) rows: usize,
    /// The token that a pooling looks for.
    pub(crate) end_token: Option<i64>,
    /// Whether it ends up in a timestep embedding.
    pub(crate) times: bool,
}

/// Follows an input to the operations that read it.
pub(crate) fn uses(graph: &Graph, users: &BTreeMap<ValueId, Vec<ValueId>>, input: ValueId) -> Uses {
    let mut found = Uses { rows: 1 << 20, end_token: None, times: false };
    let mut stack = vec![input];
    while let Some(id) = stack.pop() {
        for &user in users.get(&id).into_iter().flatten() {
            let Def::Op { op, inputs } = &graph.value(user).def else { continue };
            match reading(op) {
                Reading::Rows if inputs[0] == id => {
                    let rows = graph.value(inputs[1]).ty.shape.0.first().and_then(|d| d.known());
                    found.rows = found.rows.min(rows.unwrap_or(1));
                }
                Reading::EndToken(end) if inputs[1] == id => found.end_token = Some(end),
                Reading::Times => found.times = true,
                // Integers that are calculated with are masks and labels.
                Reading::SameElements { floats: true } if !graph.value(id).ty.dtype.is_float() => {
                    found.rows = found.rows.min(2);
                    stack.push(user);
                }
                Reading::SameElements { .. } => stack.push(user),
                Reading::Rows | Reading::EndToken(_) | Reading::Values => {}
            }
        }
    }
    found
}

/// How an operation reads its input.
enum Reading {
    /// The first input as rows of the second.
    Rows,
    /// The second input as ids among which this one is looked for.
    EndToken(i64),
    /// As timesteps.
    Times,
    /// To pass its elements on, as floats or as they are.
    SameElements { floats: bool },
    /// As activations, to calculate with.
    Values,
}

fn reading(op: &Op) -> Reading {
    match op {
        Op::Embedding => Reading::Rows,
        Op::PoolToken { rule: PoolRule::FirstEqual(end) } => Reading::EndToken(*end),
        Op::TimestepEmbed { .. } => Reading::Times,
        Op::Cast { dtype } => Reading::SameElements { floats: dtype.is_float() },
        Op::Reshape { .. } | Op::Expand { .. } | Op::Permute { .. } => Reading::SameElements { floats: false },
        Op::PoolToken { rule: PoolRule::LargestId }
        | Op::Linear
        | Op::MatMul { .. }
        | Op::Conv2d { .. }
        | Op::Conv3d { .. }
        | Op::MaxPool2d { .. }
        | Op::AvgPool2d { .. }
        | Op::GroupNorm { .. }
        | Op::LayerNorm { .. }
        | Op::RmsNorm { .. }
        | Op::Sdpa { .. }
        | Op::RelPos2d { .. }
        | Op::Rope { .. }
        | Op::BucketBias { .. }
        | Op::CropTable { .. }
        | Op::SincosTable3d { .. }
        | Op::Relu
        | Op::Silu
        | Op::Gelu { .. }
        | Op::QuickGelu
        | Op::Geglu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Softmax { .. }
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Neg
        | Op::Exp
        | Op::Sqrt
        | Op::Sin
        | Op::Cos
        | Op::Clamp { .. }
        | Op::Affine { .. }
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::WindowPartition { .. }
        | Op::WindowMerge { .. }
        | Op::UpNearest { .. }
        | Op::Resize { .. }
        | Op::Reduce { .. } => Reading::Values,
    }
}

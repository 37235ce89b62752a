//! How many inputs an operation takes, and of which element types.

use crate::error::InferError;
use crate::ir::op::Op;
use crate::ir::types::Type;

/// The inputs of one operation.
struct Signature {
    least: usize,
    most: usize,
    elements: Elements,
}

/// The element types of an operation's inputs.
enum Elements {
    /// Floats, all of them.
    Floats,
    /// Floats, but integers at this position.
    Ids(usize),
    /// Any: elements are moved or converted, not calculated with.
    Any,
}

/// Checks the number and the element types of the inputs.
pub(super) fn check(op: &Op, inputs: &[&Type]) -> Result<(), InferError> {
    let Signature { least, most, elements } = signature(op);
    if inputs.len() < least || inputs.len() > most {
        return Err(InferError::Inputs { inputs: inputs.len(), least, most });
    }
    for (input, ty) in inputs.iter().enumerate() {
        let floats = match elements {
            Elements::Floats => true,
            Elements::Ids(position) => input != position,
            Elements::Any => continue,
        };
        if ty.dtype.is_float() != floats {
            let wanted = if floats { "floats" } else { "integers" };
            return Err(InferError::Elements { input, ty: ty.to_string(), wanted });
        }
    }
    Ok(())
}

fn signature(op: &Op) -> Signature {
    let floats = |least, most| Signature { least, most, elements: Elements::Floats };
    let any = |least, most| Signature { least, most, elements: Elements::Any };
    match op {
        Op::SincosTable3d { .. } => floats(0, 0),
        Op::Linear | Op::Conv2d { .. } | Op::Conv3d { .. } => floats(2, 3),
        Op::MatMul { .. } | Op::Add | Op::Sub | Op::Mul | Op::Div => floats(2, 2),
        Op::Embedding => Signature { least: 2, most: 2, elements: Elements::Ids(0) },
        Op::PoolToken { .. } => Signature { least: 2, most: 2, elements: Elements::Ids(1) },
        Op::GroupNorm { .. } | Op::RelPos2d { .. } | Op::Rope { .. } => floats(3, 3),
        Op::LayerNorm { .. } => floats(1, 3),
        Op::RmsNorm { .. } => floats(1, 2),
        Op::Sdpa { .. } => floats(3, 4),
        Op::Concat { .. } => any(1, usize::MAX),
        Op::Reshape { .. } | Op::Permute { .. } | Op::Slice { .. } | Op::Expand { .. } | Op::Cast { .. } => any(1, 1),
        Op::MaxPool2d { .. }
        | Op::AvgPool2d { .. }
        | Op::BucketBias { .. }
        | Op::CropTable { .. }
        | Op::Resize { .. }
        | Op::Relu
        | Op::Silu
        | Op::Gelu { .. }
        | Op::QuickGelu
        | Op::Geglu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Softmax { .. }
        | Op::Neg
        | Op::Exp
        | Op::Sqrt
        | Op::Sin
        | Op::Cos
        | Op::Clamp { .. }
        | Op::Affine { .. }
        | Op::Pad { .. }
        | Op::WindowPartition { .. }
        | Op::WindowMerge { .. }
        | Op::UpNearest { .. }
        | Op::TimestepEmbed { .. }
        | Op::Reduce { .. } => floats(1, 1),
    }
}

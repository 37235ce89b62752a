//! The result type of every operation.

mod layout;
mod parts;
mod position;
mod product;
mod signature;
mod window;

use parts::{axis_of, broadcast, dims, expect, last, with_axis};

use super::op::Op;
use super::types::{Shape, Type};
use crate::error::InferError;

/// Result type of `op` on inputs of these types; the error says what does not fit.
///
/// # Errors
/// When the number, types or shapes of the inputs do not fit the operation.
pub(crate) fn infer(op: &Op, inputs: &[&Type]) -> Result<Type, InferError> {
    signature::check(op, inputs)?;
    // Checked: as many inputs as each arm reads are there.
    match op {
        Op::SincosTable3d { dim, frames, height, width, spatial_scale, temporal_scale } => {
            position::sincos_table(*dim, [frames, height, width], [*spatial_scale, *temporal_scale])
        }
        Op::Linear => product::linear(inputs),
        Op::MatMul { transpose_a, transpose_b } => product::mat_mul(inputs[0], inputs[1], *transpose_a, *transpose_b),
        Op::Sdpa { causal, .. } => product::sdpa(inputs, *causal),
        Op::RelPos2d { height, width } => product::rel_pos(inputs, *height, *width),
        Op::Conv2d { stride, padding, dilation, groups } => window::conv(inputs, *stride, padding, *dilation, *groups),
        Op::Conv3d { stride, padding, dilation, groups } => window::conv(inputs, *stride, padding, *dilation, *groups),
        Op::MaxPool2d { kernel, stride, padding } | Op::AvgPool2d { kernel, stride, padding, .. } => {
            window::pool(inputs[0], *kernel, *stride, *padding)
        }
        Op::WindowPartition { window } => window::partition(inputs[0], *window),
        Op::WindowMerge { window, height, width } => window::merge(inputs[0], *window, *height, *width),
        Op::GroupNorm { groups, .. } => group_norm(inputs, *groups),
        Op::LayerNorm { .. } | Op::RmsNorm { .. } => {
            let channels = last(inputs[0])?;
            for (input, name) in inputs[1..].iter().zip(["weight", "bias"]) {
                expect(input, std::slice::from_ref(channels), name)?;
            }
            Ok(inputs[0].clone())
        }
        Op::Rope { .. } => position::rope(inputs),
        Op::BucketBias { max_distance, bidirectional, length } => {
            position::bucket_bias(inputs[0], *max_distance, *bidirectional, length)
        }
        Op::CropTable { side, height, width } => position::crop_table(inputs[0], *side, height, width),
        Op::Embedding => position::embedding(inputs[0], inputs[1]),
        Op::TimestepEmbed { dim, .. } => position::timestep_embed(inputs[0], *dim),
        Op::PoolToken { .. } => position::pool_token(inputs[0], inputs[1]),
        Op::Relu
        | Op::Silu
        | Op::Gelu { .. }
        | Op::QuickGelu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Neg
        | Op::Exp
        | Op::Sqrt
        | Op::Sin
        | Op::Cos
        | Op::Clamp { .. }
        | Op::Affine { .. } => Ok(inputs[0].clone()),
        Op::Geglu => {
            let half = last(inputs[0])?.exact_div(2)?;
            Ok(with_axis(inputs[0], inputs[0].shape.rank() - 1, half))
        }
        Op::Softmax { axis } => axis_of(inputs[0], *axis).map(|_| inputs[0].clone()),
        Op::Add | Op::Sub | Op::Mul | Op::Div => elementwise(inputs[0], inputs[1]),
        Op::Reshape { shape } => layout::reshape(inputs[0], shape),
        Op::Permute { axes } => layout::permute(inputs[0], axes),
        Op::Concat { axis } => layout::concat(inputs, *axis),
        Op::Slice { axis, start, length } => layout::slice(inputs[0], *axis, start, length),
        Op::Pad { pads, .. } => layout::pad(inputs[0], pads),
        Op::Expand { shape } => layout::expand(inputs[0], shape),
        Op::Reduce { axes, keep_dims, .. } => layout::reduce(inputs[0], axes, *keep_dims),
        Op::UpNearest { factor } => {
            let [n, c, h, w] = dims::<4>(inputs[0])?;
            let shape = vec![n.clone(), c.clone(), h.scaled(*factor), w.scaled(*factor)];
            Ok(Type { dtype: inputs[0].dtype, shape: Shape(shape) })
        }
        Op::Resize { height, width, .. } => {
            let [n, c, rows, columns] = dims::<4>(inputs[0])?;
            if [rows, columns, height, width].iter().any(|size| size.is(0)) {
                let [shape, height, width] = [inputs[0].shape.to_string(), height.to_string(), width.to_string()];
                return Err(InferError::Resize { shape, height, width });
            }
            let shape = vec![n.clone(), c.clone(), height.clone(), width.clone()];
            Ok(Type { dtype: inputs[0].dtype, shape: Shape(shape) })
        }
        Op::Cast { dtype } => Ok(Type { dtype: *dtype, shape: inputs[0].shape.clone() }),
    }
}

fn group_norm(inputs: &[&Type], groups: usize) -> Result<Type, InferError> {
    let channels = inputs[0].shape.0.get(1).ok_or(InferError::NoChannels)?;
    expect(inputs[1], std::slice::from_ref(channels), "weight")?;
    expect(inputs[2], std::slice::from_ref(channels), "bias")?;
    channels.exact_div(groups).map_err(|_| InferError::Groups { channels: channels.to_string(), groups })?;
    Ok(inputs[0].clone())
}

fn elementwise(a: &Type, b: &Type) -> Result<Type, InferError> {
    if a.dtype != b.dtype {
        return Err(InferError::Types { a: a.to_string(), b: b.to_string() });
    }
    Ok(Type { dtype: a.dtype, shape: broadcast(&a.shape.0, &b.shape.0)? })
}

#[cfg(test)]
mod tests {
    use super::infer;
    use crate::ir::op::Op;
    use crate::ir::types::Type;

    #[test]
    fn grids_beyond_the_machine_are_refused() {
        // The products of these sizes are 1 and 0 modulo 2^64.
        let windows = Type::f32([1usize, 1, 1, 1]);
        let merge = Op::WindowMerge { window: 1, height: usize::MAX, width: usize::MAX };
        assert!(infer(&merge, &[&windows]).is_err());
        let (height, width) = (1 << 33, 1 << 31);
        let tokens = Type::f32([1usize, 1, 0, 1]);
        let rows = |count: usize| Type::f32([2 * count - 1, 1]);
        assert!(infer(&Op::RelPos2d { height, width }, &[&tokens, &rows(height), &rows(width)]).is_err());
    }
}

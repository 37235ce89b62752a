//! Products with weights and of values: linear layers, matrices, attention.

use super::parts::{broadcast, dims, expect, last, with_axis};
use crate::error::InferError;
use crate::ir::types::{Shape, Type};

pub(super) fn linear(inputs: &[&Type]) -> Result<Type, InferError> {
    let [out, width] = dims::<2>(inputs[1])?;
    if last(inputs[0])? != width {
        return Err(InferError::Linear { x: inputs[0].shape.to_string(), weight: inputs[1].shape.to_string() });
    }
    if let Some(bias) = inputs.get(2) {
        expect(bias, std::slice::from_ref(out), "bias")?;
    }
    Ok(with_axis(inputs[0], inputs[0].shape.rank() - 1, out.clone()))
}

pub(super) fn mat_mul(a: &Type, b: &Type, transpose_a: bool, transpose_b: bool) -> Result<Type, InferError> {
    let split = |ty: &Type, transpose: bool| match ty.shape.0.as_slice() {
        [batch @ .., x, y] if transpose => Ok((batch.to_vec(), y.clone(), x.clone())),
        [batch @ .., x, y] => Ok((batch.to_vec(), x.clone(), y.clone())),
        _ => Err(InferError::NotAMatrix { shape: ty.shape.to_string() }),
    };
    let ((batch_a, m, k), (batch_b, k2, n)) = (split(a, transpose_a)?, split(b, transpose_b)?);
    if k != k2 {
        return Err(InferError::Inner { a: k.to_string(), b: k2.to_string() });
    }
    let mut shape = broadcast(&batch_a, &batch_b)?;
    shape.0.extend([m, n]);
    Ok(Type { dtype: a.dtype, shape })
}

pub(super) fn sdpa(inputs: &[&Type], causal: bool) -> Result<Type, InferError> {
    let [batch, heads, queries, width] = dims::<4>(inputs[0])?;
    let [_, _, keys, _] = dims::<4>(inputs[1])?;
    let [_, _, _, value_width] = dims::<4>(inputs[2])?;
    expect(inputs[1], &[batch.clone(), heads.clone(), keys.clone(), width.clone()], "k")?;
    expect(inputs[2], &[batch.clone(), heads.clone(), keys.clone(), value_width.clone()], "v")?;
    if causal && queries != keys {
        return Err(InferError::Causal { keys: keys.to_string(), queries: queries.to_string() });
    }
    if let Some(bias) = inputs.get(3) {
        let scores = [batch.clone(), heads.clone(), queries.clone(), keys.clone()];
        if broadcast(&bias.shape.0, &scores)?.0 != scores {
            return Err(InferError::Bias { bias: bias.shape.to_string(), scores: Shape(scores.to_vec()).to_string() });
        }
    }
    Ok(with_axis(inputs[0], 3, value_width.clone()))
}

pub(super) fn rel_pos(inputs: &[&Type], height: usize, width: usize) -> Result<Type, InferError> {
    let [_, _, tokens, head_width] = dims::<4>(inputs[0])?;
    if height == 0 || width == 0 || height.checked_mul(width).is_none_or(|grid| !tokens.is(grid)) {
        return Err(InferError::Grid { tokens: tokens.to_string(), height, width });
    }
    expect(inputs[1], &[(2 * height - 1).into(), head_width.clone()], "rel_h")?;
    expect(inputs[2], &[(2 * width - 1).into(), head_width.clone()], "rel_w")?;
    Ok(with_axis(inputs[0], 3, tokens.clone()))
}

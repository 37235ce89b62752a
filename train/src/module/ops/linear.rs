//! Matrix products and attention.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use super::{Operands, Result};
use crate::kernels;
use crate::module::Value;

pub(super) fn linear(of: &mut Operands) -> Result<Value> {
    let (x, weight, bias) = (of.tensor()?, of.tensor()?, of.optional());
    Ok(Value::Float(kernels::linear(&x, &weight, bias.as_ref())))
}

/// Batch dimensions broadcast; both operands get the rank of the larger first.
pub(super) fn mat_mul(of: &mut Operands, transpose_a: bool, transpose_b: bool) -> Result<Value> {
    let (a, b) = (of.next()?, of.next()?);
    let rank = a.shape().len().max(b.shape().len());
    let lift = |value: Value, transpose: bool| -> Result<_> {
        let mut shape = vec![1; rank - value.shape().len()];
        shape.extend(value.shape());
        let tensor = value.reshape(&shape)?.into_tensor();
        Ok(if transpose { Dispatch::float_swap_dims(tensor, rank - 2, rank - 1) } else { tensor })
    };
    Ok(Value::Float(Dispatch::float_matmul(lift(a, transpose_a)?, lift(b, transpose_b)?)))
}

pub(super) fn attention(of: &mut Operands, scale: f64, causal: bool) -> Result<Value> {
    let (q, k, v, bias) = (of.tensor()?, of.tensor()?, of.tensor()?, of.optional());
    Ok(Value::Float(kernels::attention(&q, &k, &v, bias.as_ref(), scale, causal)))
}

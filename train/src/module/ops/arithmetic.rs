//! Elementwise functions.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, DispatchTensor};

use super::Result;
use crate::module::Value;

pub(super) fn unary(x: Value, f: impl FnOnce(DispatchTensor) -> DispatchTensor) -> Value {
    Value::Float(f(x.to_float().into_tensor()))
}

/// Both operands get the rank of the larger first.
pub(super) fn binary(a: Value, b: Value, f: impl FnOnce(DispatchTensor, DispatchTensor) -> DispatchTensor) -> Result<Value> {
    let (a, b) = (a.to_float(), b.to_float());
    let rank = a.shape().len().max(b.shape().len());
    let lift = |value: Value| -> Result<DispatchTensor> {
        let own = value.shape();
        if own.len() == rank {
            return Ok(value.into_tensor());
        }
        let mut shape = vec![1; rank - own.len()];
        shape.extend(own);
        Ok(value.reshape(&shape)?.into_tensor())
    };
    Ok(Value::Float(f(lift(a)?, lift(b)?)))
}

pub(super) fn clamp(x: DispatchTensor, min: f64, max: f64) -> Value {
    Value::Float(Dispatch::float_clamp(x, (min as f32).into(), (max as f32).into()))
}

pub(super) fn affine(x: &Value, mul: f64, add: f64) -> Value {
    let scaled = if mul == 1.0 { x.to_float() } else { x.scale(mul) };
    if add == 0.0 { scaled } else { scaled.shift(add) }
}

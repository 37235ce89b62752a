//! Elementwise functions.

use burn::backend::ops::{ActivationOps, FloatTensorOps};
use burn::backend::{Dispatch, DispatchTensor};
use dmdx_graph::Op;

use super::Result;
use crate::kernels;
use crate::module::Value;

pub(super) fn unary(op: &Op, x: Value) -> Result<Value> {
    let x = x.to_float().into_tensor();
    Ok(Value::Float(match op {
        Op::Sigmoid => <Dispatch as ActivationOps<Dispatch>>::sigmoid(x),
        Op::Tanh => Dispatch::float_tanh(x),
        Op::Neg => Dispatch::float_neg(x),
        Op::Exp => Dispatch::float_exp(x),
        Op::Sqrt => Dispatch::float_sqrt(x),
        Op::Sin => Dispatch::float_sin(x),
        Op::Cos => Dispatch::float_cos(x),
        other => return Err(format!("{} is no function of one tensor", other.name())),
    }))
}

/// Both operands get the rank of the larger first.
pub(super) fn binary(op: &Op, a: Value, b: Value) -> Result<Value> {
    let (a, b) = (a.to_float(), b.to_float());
    let rank = a.shape().len().max(b.shape().len());
    let lift = |value: Value| -> Result<DispatchTensor> {
        let own = value.shape();
        if own.len() == rank {
            return Ok(value.into_tensor());
        }
        let mut shape = vec![1; rank - own.len()];
        shape.extend(own);
        Ok(value.reshape(&shape).map_err(|error| error.to_string())?.into_tensor())
    };
    let (a, b) = (lift(a)?, lift(b)?);
    Ok(Value::Float(match op {
        Op::Add => kernels::add(&a, &b),
        Op::Sub => Dispatch::float_sub(a, b),
        Op::Mul => kernels::mul(&a, &b),
        Op::Div => Dispatch::float_div(a, b),
        other => return Err(format!("{} is no function of two tensors", other.name())),
    }))
}

pub(super) fn clamp(x: DispatchTensor, min: f64, max: f64) -> Value {
    Value::Float(Dispatch::float_clamp(x, (min as f32).into(), (max as f32).into()))
}

pub(super) fn affine(x: &Value, mul: f64, add: f64) -> Value {
    let scaled = if mul == 1.0 { x.to_float() } else { x.scale(mul) };
    if add == 0.0 { scaled } else { scaled.shift(add) }
}

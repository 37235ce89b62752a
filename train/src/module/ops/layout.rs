//! Operations that move elements and change none.

use burn::backend::ops::{FloatTensorOps, IntTensorOps, PadMode};
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::Shape;

use super::Result;
use crate::error::OperationError;
use crate::module::Value;

pub(super) fn slice(x: &Value, axis: usize, start: usize, length: usize) -> Result<Value> {
    let shape = x.shape();
    if shape.get(axis).is_none_or(|&size| start + length > size) {
        return Err(OperationError::Slice { length, start, axis, shape });
    }
    Ok(if shape[axis] == length { x.clone() } else { x.slice(axis, start, length) })
}

pub(super) fn pad(x: Value, pads: &[[usize; 2]], value: f64) -> Value {
    let pads: Vec<(usize, usize)> = pads.iter().map(|[before, after]| (*before, *after)).collect();
    let x = x.to_float().into_tensor();
    Value::Float(Dispatch::float_pad(x, &pads, PadMode::Constant(value as f32)))
}

pub(super) fn expand(x: Value, shape: &[usize]) -> Result<Value> {
    let own = x.tensor().shape().as_slice().to_vec();
    if own.len() > shape.len() {
        return Err(OperationError::Expand { from: own, to: shape.to_vec() });
    }
    let mut lifted = vec![1; shape.len() - own.len()];
    lifted.extend(own);
    let target = Shape::from(shape.to_vec());
    Ok(match x.reshape(&lifted)? {
        Value::Float(tensor) => Value::Float(Dispatch::float_expand(tensor, target)),
        Value::Int(tensor) => Value::Int(Dispatch::int_expand(tensor, target)),
    })
}

//! Sums, means, maxima and softmax.

use burn::backend::ops::{ActivationOps, FloatTensorOps};
use burn::backend::{Dispatch, DispatchTensor};
use dmdx_graph::ir::ReduceKind;

use super::Result;
use crate::kernels;
use crate::module::Value;

pub(super) fn softmax(x: DispatchTensor, axis: usize) -> Value {
    let last = Value::Float(x.clone()).shape().len() == axis + 1;
    Value::Float(if last { kernels::softmax(&x) } else { <Dispatch as ActivationOps<Dispatch>>::softmax(x, axis) })
}

pub(super) fn reduce(x: Value, kind: ReduceKind, axes: &[usize], keep_dims: bool) -> Result<Value> {
    let mut tensor = x.to_float().into_tensor();
    for &axis in axes {
        tensor = match kind {
            ReduceKind::Mean => Dispatch::float_mean_dim(tensor, axis),
            ReduceKind::Sum => Dispatch::float_sum_dim(tensor, axis),
            ReduceKind::Max => Dispatch::float_max_dim(tensor, axis),
        };
    }
    let result = Value::Float(tensor);
    if keep_dims {
        return Ok(result);
    }
    let shape = result.shape();
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    Ok(result.reshape(&kept)?)
}

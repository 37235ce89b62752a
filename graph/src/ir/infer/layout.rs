//! Operations that move, repeat or drop elements.

use super::parts::{axis_of, broadcast, with_axis};
use crate::error::InferError;
use crate::ir::dim::Dim;
use crate::ir::types::{Shape, Type};

pub(super) fn reshape(x: &Type, shape: &Shape) -> Result<Type, InferError> {
    if shape.elements() != x.shape.elements() {
        return Err(InferError::Reshape { from: x.shape.to_string(), to: shape.to_string() });
    }
    Ok(Type { dtype: x.dtype, shape: shape.clone() })
}

pub(super) fn permute(x: &Type, axes: &[usize]) -> Result<Type, InferError> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if sorted != (0..x.shape.rank()).collect::<Vec<_>>() {
        return Err(InferError::Permute { axes: axes.to_vec(), shape: x.shape.to_string() });
    }
    Ok(Type { dtype: x.dtype, shape: Shape(axes.iter().map(|&a| x.shape.0[a].clone()).collect()) })
}

pub(super) fn concat(inputs: &[&Type], axis: usize) -> Result<Type, InferError> {
    let mut total = Dim::constant(0);
    for input in inputs {
        let dim = axis_of(input, axis)?;
        total = total.plus(dim);
        if with_axis(input, axis, Dim::constant(0)) != with_axis(inputs[0], axis, Dim::constant(0)) {
            return Err(InferError::Concat { shape: inputs[0].to_string(), other: input.to_string(), axis });
        }
    }
    Ok(with_axis(inputs[0], axis, total))
}

pub(super) fn slice(x: &Type, axis: usize, start: &Dim, length: &Dim) -> Result<Type, InferError> {
    let dim = axis_of(x, axis)?;
    if let (Some(size), Some(start), Some(length)) = (dim.known(), start.known(), length.known())
        && start.checked_add(length).is_none_or(|end| end > size)
    {
        return Err(InferError::Slice { length, start, shape: x.shape.to_string() });
    }
    Ok(with_axis(x, axis, length.clone()))
}

pub(super) fn pad(x: &Type, pads: &[[usize; 2]]) -> Result<Type, InferError> {
    if pads.len() != x.shape.rank() {
        return Err(InferError::Pads { pads: pads.len(), shape: x.shape.to_string() });
    }
    let dims = x.shape.0.iter().zip(pads).map(|(dim, [a, b])| dim.plus(&Dim::constant(*a)).plus(&Dim::constant(*b)));
    Ok(Type { dtype: x.dtype, shape: Shape(dims.collect()) })
}

pub(super) fn expand(x: &Type, shape: &Shape) -> Result<Type, InferError> {
    if broadcast(&x.shape.0, &shape.0)? != *shape {
        return Err(InferError::Expand { from: x.shape.to_string(), to: shape.to_string() });
    }
    Ok(Type { dtype: x.dtype, shape: shape.clone() })
}

pub(super) fn reduce(x: &Type, axes: &[usize], keep_dims: bool) -> Result<Type, InferError> {
    if axes.iter().any(|&axis| axis >= x.shape.rank()) || !axes.is_sorted_by(|a, b| a < b) {
        return Err(InferError::Axes { axes: axes.to_vec(), shape: x.shape.to_string() });
    }
    let dims = x.shape.0.iter().enumerate().filter_map(|(i, dim)| match (axes.contains(&i), keep_dims) {
        (true, false) => None,
        (true, true) => Some(Dim::constant(1)),
        (false, _) => Some(dim.clone()),
    });
    Ok(Type { dtype: x.dtype, shape: Shape(dims.collect()) })
}

//! The few operations on host tensors between one network and the next; results are computed in f64 and rounded once.

use super::Tensor;
use crate::Error;

/// Tensors side by side along one axis.
///
/// # Errors
/// [`Error::Shape`] for none, or shapes that differ in another axis.
pub fn join(tensors: &[Tensor], axis: usize) -> Result<Tensor, Error> {
    let refuse = || {
        let shapes: Vec<&[usize]> = tensors.iter().map(Tensor::shape).collect();
        Error::Shape(format!("tensors of shapes {shapes:?} cannot be joined along axis {axis}"))
    };
    let mut shape = tensors.first().ok_or_else(refuse)?.shape().to_vec();
    let fits = |tensor: &Tensor| {
        let sizes = tensor.shape();
        sizes.len() == shape.len() && sizes.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b)
    };
    if axis >= shape.len() || !tensors.iter().all(fits) {
        return Err(refuse());
    }
    let outer: usize = shape[..axis].iter().product();
    let mut joined = Vec::new();
    for row in 0..outer {
        for tensor in tensors {
            let length: usize = tensor.shape()[axis..].iter().product();
            joined.extend_from_slice(&tensor.floats()?[row * length..(row + 1) * length]);
        }
    }
    shape[axis] = tensors.iter().map(|tensor| tensor.shape()[axis]).sum();
    Tensor::f32(shape, joined)
}

/// The rows `rows` of the first axis.
///
/// # Errors
/// [`Error::Shape`] for a row that is not there.
pub fn pick(tensor: &Tensor, rows: &[usize]) -> Result<Tensor, Error> {
    let (len, values) = (tensor.row_len(), tensor.floats()?);
    let mut shape = tensor.shape().to_vec();
    if shape.is_empty() || rows.iter().any(|&row| row >= shape[0]) {
        return Err(Error::Shape(format!("a tensor of shape {shape:?} lacks a row that was asked for")));
    }
    shape[0] = rows.len();
    Tensor::f32(shape, rows.iter().flat_map(|&row| &values[row * len..(row + 1) * len]).copied().collect())
}

/// The weighted sum of tensors of one shape.
///
/// # Errors
/// [`Error::Shape`] for shapes that differ.
pub fn blend(terms: &[(f64, &Tensor)]) -> Result<Tensor, Error> {
    let shape = terms.first().map(|(_, tensor)| tensor.shape()).unwrap_or_default();
    let mut sum = vec![0.0; shape.iter().product()];
    for (weight, tensor) in terms {
        if tensor.shape() != shape {
            return Err(Error::Shape(format!("tensors of shapes {shape:?} and {:?} cannot be added", tensor.shape())));
        }
        sum.iter_mut().zip(tensor.floats()?).for_each(|(sum, &value)| *sum += weight * f64::from(value));
    }
    Tensor::f32(shape, sum.into_iter().map(|value| value as f32).collect())
}

/// Every element through a function.
///
/// # Errors
/// [`Error::Shape`] for a tensor of integers.
pub fn map(tensor: &Tensor, function: impl Fn(f64) -> f64) -> Result<Tensor, Error> {
    Tensor::f32(tensor.shape(), tensor.floats()?.iter().map(|&value| function(f64::from(value)) as f32).collect())
}

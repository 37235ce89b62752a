//! The few operations on host tensors between one network and the next; results are computed in f64 and rounded once.

use super::Tensor;
use crate::Error;

/// Tensors side by side along one axis.
///
/// # Errors
/// [`Error::Shape`] for none, or shapes that differ in another axis.
pub(crate) fn join(tensors: &[Tensor], axis: usize) -> Result<Tensor, Error> {
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
pub(crate) fn pick(tensor: &Tensor, rows: &[usize]) -> Result<Tensor, Error> {
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
pub(crate) fn blend(terms: &[(f64, &Tensor)]) -> Result<Tensor, Error> {
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

/// Every element through a function of its place on one axis and itself.
///
/// # Errors
/// [`Error::Shape`] for a tensor without that axis.
pub(crate) fn map_axis(tensor: &Tensor, axis: usize, function: impl Fn(usize, f64) -> f64) -> Result<Tensor, Error> {
    let shape = tensor.shape();
    let Some(&size) = shape.get(axis) else {
        return Err(Error::Shape(format!("a tensor of shape {shape:?} has no axis {axis}")));
    };
    let (plane, size) = (shape[axis + 1..].iter().product::<usize>().max(1), size.max(1));
    let value = |(index, &value): (usize, &f32)| function(index / plane % size, f64::from(value)) as f32;
    Tensor::f32(shape, tensor.floats()?.iter().enumerate().map(value).collect())
}

/// Zeros behind every row of the last axis, up to `width`.
///
/// # Errors
/// [`Error::Shape`] for a tensor that is wider.
pub(crate) fn padded(tensor: Tensor, width: usize) -> Result<Tensor, Error> {
    let mut shape = tensor.shape().to_vec();
    let missing = shape.last().and_then(|last| width.checked_sub(*last));
    let (Some(missing), Some(last)) = (missing, shape.last_mut()) else {
        return Err(Error::Shape(format!("a tensor of shape {:?} cannot be padded to a width of {width}", tensor.shape())));
    };
    *last = missing;
    let zeros = Tensor::f32(shape.clone(), vec![0.0; shape.iter().product()])?;
    join(&[tensor, zeros], shape.len() - 1)
}

/// What is left of the second axis without its first entries.
///
/// # Errors
/// [`Error::Shape`] for a tensor that has not as many.
pub(crate) fn without_first(tensor: &Tensor, entries: usize) -> Result<Tensor, Error> {
    let refuse = || Error::Shape(format!("a tensor of shape {:?} has no {entries} entries to leave out", tensor.shape()));
    let mut shape = tensor.shape().to_vec();
    let (row, entry) = (tensor.row_len(), shape.get(2..).ok_or_else(refuse)?.iter().product::<usize>());
    shape[1] = shape[1].checked_sub(entries).ok_or_else(refuse)?;
    let kept = tensor.floats()?.chunks(row.max(1)).flat_map(|row| &row[entries * entry..]);
    Tensor::f32(shape, kept.copied().collect())
}

/// Swaps the second and the third axis.
///
/// # Errors
/// [`Error::Shape`] for a tensor without three axes.
pub(crate) fn second_and_third_swapped(tensor: &Tensor) -> Result<Tensor, Error> {
    let &[rows, first, second, ref inner @ ..] = tensor.shape() else {
        return Err(Error::Shape(format!("a tensor of shape {:?} has no three axes", tensor.shape())));
    };
    let (plane, source) = (inner.iter().product::<usize>(), tensor.floats()?);
    let mut swapped = Vec::with_capacity(source.len());
    for row in 0..rows {
        for j in 0..second {
            for i in 0..first {
                swapped.extend_from_slice(&source[((row * first + i) * second + j) * plane..][..plane]);
            }
        }
    }
    Tensor::f32([&[rows, second, first], inner].concat(), swapped)
}

//! Operations on single elements.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use ndarray::{ArrayD, Axis, Slice, Zip};

use super::shape;
use crate::error::RunError;

type Floats = ArrayD<f64>;

/// Applies a function to every element.
pub(super) fn map(x: &Floats, f: impl Fn(f64) -> f64) -> Floats {
    x.as_standard_layout().mapv(f)
}

/// Applies a function to every pair of elements, with NumPy broadcasting.
pub(super) fn zip(a: &Floats, b: &Floats, f: impl Fn(f64, f64) -> f64) -> Result<Floats, RunError> {
    let sizes = shape::broadcast_shape(a.shape(), b.shape())?;
    super::tensor::elements(&sizes)?;
    let (Some(a), Some(b)) = (a.broadcast(&sizes[..]), b.broadcast(&sizes[..])) else {
        return Err(RunError::Broadcast { a: a.shape().to_vec(), b: b.shape().to_vec() });
    };
    let mut result = Floats::zeros(&sizes[..]);
    Zip::from(&mut result).and(&a).and(&b).for_each(|y, &a, &b| *y = f(a, b));
    Ok(result)
}

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x * sigmoid(x)`.
pub(super) fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// `x * (1 + erf(x / sqrt 2)) / 2`, by the complement so that the left tail keeps its digits.
pub(super) fn gelu_erf(x: f64) -> f64 {
    0.5 * x * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// The tanh approximation of the same.
pub(super) fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

/// Limits to `min..=max`; NaN stays NaN, and limits in the wrong order give `max`, as NumPy has it.
pub(super) fn clamp(x: f64, min: f64, max: f64) -> f64 {
    if x.is_nan() { x } else { x.max(min).min(max) }
}

/// First half of the last dimension times the exact GELU of the second half.
pub(super) fn geglu(x: &Floats) -> Result<Floats, RunError> {
    let Some(half) = x.shape().last().filter(|width| *width % 2 == 0).map(|width| width / 2) else {
        return Err(RunError::OddLastDimension { shape: x.shape().to_vec() });
    };
    let axis = Axis(x.ndim() - 1);
    let mut result = x.slice_axis(axis, Slice::from(..half)).as_standard_layout().into_owned();
    Zip::from(&mut result).and(&x.slice_axis(axis, Slice::from(half..))).for_each(|y, &gate| *y *= gelu_erf(gate));
    Ok(result)
}

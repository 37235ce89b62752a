//! Windows over pictures: pooling and resizing.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use dmdx_graph::ir::Interpolation;
use dmdx_graph::tables;

use super::layout::pad;
use super::{Result, dims};
use crate::error::OperationError;
use crate::kernels;
use crate::module::Value;

/// How a window moves.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    /// Top, left, bottom, right.
    pub(super) padding: [usize; 4],
}

/// Burn pads evenly only, so that the input is padded first.
fn surrounded(x: &Value, window: Window, value: f64) -> Result<Value> {
    let [_, _, height, width] = dims::<4>(x)?;
    let Window { kernel, stride, padding: [top, left, bottom, right] } = window;
    let sides = [height + top + bottom, width + left + right];
    if kernel.contains(&0) || stride.contains(&0) || sides[0] < kernel[0] || sides[1] < kernel[1] {
        return Err(OperationError::Window { kernel, stride, sides });
    }
    if window.padding == [0; 4] {
        return Ok(x.to_float());
    }
    Ok(pad(x.clone(), &[[0, 0], [0, 0], [top, bottom], [left, right]], value))
}

/// The largest element of each window.
pub(super) fn max(x: &Value, window: Window) -> Result<Value> {
    let x = surrounded(x, window, f64::NEG_INFINITY)?.into_tensor();
    Ok(Value::Float(Dispatch::max_pool2d(x, window.kernel, window.stride, [0, 0], [1, 1], false)))
}

/// The mean of each window, over the kernel or over the elements inside the picture.
pub(super) fn average(x: &Value, window: Window, count_padding: bool) -> Result<Value> {
    let [_, _, height, width] = dims::<4>(x)?;
    let padded = surrounded(x, window, 0.0)?.into_tensor();
    let mean = Value::Float(Dispatch::avg_pool2d(padded, window.kernel, window.stride, [0, 0], true, false));
    if count_padding || window.padding == [0; 4] {
        return Ok(mean);
    }
    let [_, _, rows, columns] = dims::<4>(&mean)?;
    let inside = |index: usize, axis: usize, size: usize| {
        let (start, before) = (index * window.stride[axis], window.padding[axis]);
        (start + window.kernel[axis]).saturating_sub(before).min(size) - start.saturating_sub(before).min(size)
    };
    let whole = (window.kernel[0] * window.kernel[1]) as f32;
    let counts = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let counts = counts.map(|(row, column)| inside(row, 0, height) * inside(column, 1, width));
    let factors: Vec<f32> = counts.map(|count| whole / count as f32).collect();
    let factors = Value::float(factors, &[1, 1, rows, columns], &x.device())?;
    Ok(mean.times(&factors))
}

/// Another number of rows and columns: a product with the interpolation matrix of each axis.
pub(super) fn resize(x: &Value, height: usize, width: usize, mode: Interpolation) -> Result<Value> {
    let [batch, channels, rows, columns] = dims::<4>(x)?;
    if [rows, columns, height, width].contains(&0) {
        return Err(OperationError::Resize { rows, columns, height, width });
    }
    let matrix = |from: usize, to: usize| {
        let weights = tables::resize(from, to, mode).into_iter().map(|weight| weight as f32).collect();
        Value::float(weights, &[to, from], &x.device())
    };
    let lines = x.to_float().reshape(&[batch * channels * rows, columns])?;
    let across = kernels::linear(lines.tensor(), matrix(columns, width)?.tensor(), None);
    let planes = Value::Float(across).reshape(&[batch * channels, rows, width])?;
    let down = matrix(rows, height)?.reshape(&[1, height, rows])?;
    let stretched = Dispatch::float_matmul(down.into_tensor(), planes.into_tensor());
    Ok(Value::Float(stretched).reshape(&[batch, channels, height, width])?)
}

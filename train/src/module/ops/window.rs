//! SAM's attention windows.

use super::layout::pad;
use super::{Result, dims};
use crate::error::OperationError;
use crate::module::Value;

pub(super) fn partition(x: &Value, window: usize) -> Result<Value> {
    let [batch, height, width, channels] = dims::<4>(x)?;
    let (rows, columns) = (height.div_ceil(window), width.div_ceil(window));
    let (below, right) = (rows * window - height, columns * window - width);
    let padded = if below + right > 0 { pad(x.clone(), &[[0, 0], [0, below], [0, right], [0, 0]], 0.0) } else { x.clone() };
    let split = padded.reshape(&[batch, rows, window, columns, window, channels])?;
    Ok(split.permuted(&[0, 1, 3, 2, 4, 5]).reshape(&[batch * rows * columns, window, window, channels])?)
}

pub(super) fn merge(x: &Value, window: usize, height: usize, width: usize) -> Result<Value> {
    let [windows, _, _, channels] = dims::<4>(x)?;
    let (rows, columns) = (height.div_ceil(window), width.div_ceil(window));
    if windows % (rows * columns) != 0 {
        return Err(OperationError::Windows { windows, rows, columns });
    }
    let batch = windows / (rows * columns);
    let split = x.reshape(&[batch, rows, columns, window, window, channels])?;
    let whole = split.permuted(&[0, 1, 3, 2, 4, 5]).reshape(&[batch, rows * window, columns * window, channels])?;
    Ok(whole.slice(1, 0, height).slice(2, 0, width))
}

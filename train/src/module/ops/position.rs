//! Positions of tokens: rotations, biases and tables.

use burn::tensor::Device;
use dmdx_graph::tables;

use super::{Result, dims};
use crate::error::OperationError;
use crate::kernels;
use crate::module::Value;

/// `x * cos + rotated(x) * sin` over the last two dimensions.
pub(super) fn rope(x: &Value, cos: &Value, sin: &Value, interleaved: bool) -> Result<Value> {
    let shape = x.shape();
    let [.., tokens, width] = shape[..] else { return Err(OperationError::NoTokens { shape }) };
    if width % 2 != 0 || [cos, sin].iter().any(|table| table.shape() != [tokens, width]) {
        return Err(OperationError::Rotation { cos: cos.shape(), sin: sin.shape(), shape });
    }
    let half = width / 2;
    // Pairs or halves on an axis of their own.
    let (apart, axis) = if interleaved { ([half, 2], 2) } else { ([2, half], 1) };
    let flat = x.reshape(&[x.elements() / width.max(1), apart[0], apart[1]])?;
    let parts = [flat.slice(axis, 1, 1).scale(-1.0), flat.slice(axis, 0, 1)];
    let rotated = Value::join(&parts, axis).and_then(|rotated| rotated.reshape(&shape))?;
    let (kept, turned) = (kernels::mul(x.tensor(), cos.tensor()), kernels::mul(rotated.tensor(), sin.tensor()));
    Ok(Value::Float(kernels::add(&kept, &turned)))
}

/// The table's row of every pair's bucket, heads outermost.
pub(super) fn bucket_bias(table: &Value, max_distance: usize, bidirectional: bool, length: usize) -> Result<Value> {
    let [buckets, heads] = dims::<2>(table)?;
    let rows = tables::buckets(length, buckets, max_distance, bidirectional);
    let rows: Vec<usize> = rows.into_iter().map(|bucket| bucket as usize).collect();
    let pairs = table.pick(&rows).and_then(|picked| picked.reshape(&[1, length, length, heads]))?;
    Ok(pairs.permuted(&[0, 3, 1, 2]))
}

/// The middle of a square table.
pub(super) fn crop_table(table: &Value, side: usize, height: usize, width: usize) -> Result<Value> {
    let [_, _, channels] = dims::<3>(table)?;
    if height > side || width > side {
        return Err(OperationError::Crop { height, width, side });
    }
    let grid = table.reshape(&[side, side, channels])?;
    let middle = grid.slice(0, (side - height) / 2, height).slice(1, (side - width) / 2, width);
    Ok(middle.reshape(&[1, height * width, channels])?)
}

/// Sines and cosines of a grid of frames, rows and columns.
pub(super) fn sincos_table(
    dim: usize,
    grid: [usize; 3],
    spatial_scale: f64,
    temporal_scale: f64,
    device: &Device,
) -> Result<Value> {
    let rows =
        grid.iter().try_fold(dim, |product, size| product.checked_mul(*size)).ok_or(OperationError::GridTooLarge)? / dim.max(1);
    let table = tables::sincos_3d(dim, grid, spatial_scale, temporal_scale);
    Ok(Value::float(table.into_iter().map(|value| value as f32).collect(), &[1, rows, dim], device)?)
}

//! Positions of tokens: rotations, biases and tables.

use ndarray::ArrayD;

use super::tensor::{elements, expect, from_vec, row_major, sizes};
use crate::error::RunError;
use crate::tables;

type Floats = ArrayD<f64>;

/// `x * cos + rotated(x) * sin` over the last two dimensions.
pub(super) fn rope(x: &Floats, cos: &Floats, sin: &Floats, interleaved: bool) -> Result<Floats, RunError> {
    let &[.., tokens, width] = x.shape() else { return Err(RunError::NoTokens { shape: x.shape().to_vec() }) };
    if width % 2 != 0 {
        return Err(RunError::OddWidth { width });
    }
    expect(cos, &[tokens, width], "cos")?;
    expect(sin, &[tokens, width], "sin")?;
    let (cos, sin) = (row_major(cos), row_major(sin));
    let mut result = Vec::with_capacity(x.len());
    for (row, values) in row_major(x).chunks(width.max(1)).enumerate() {
        let first = row % tokens.max(1) * width;
        for (i, value) in values.iter().enumerate() {
            let rotated = match (interleaved, i % 2 == 0, i < width / 2) {
                (true, true, _) => -values[i + 1],
                (true, false, _) => values[i - 1],
                (false, _, true) => -values[i + width / 2],
                (false, _, false) => values[i - width / 2],
            };
            result.push(value * cos[first + i] + rotated * sin[first + i]);
        }
    }
    from_vec(result, x.shape())
}

/// The table's row of every pair's bucket, heads outermost.
pub(super) fn bucket_bias(table: &Floats, max_distance: usize, bidirectional: bool, length: usize) -> Result<Floats, RunError> {
    let [buckets, heads] = sizes(table, "table")?;
    let count = elements(&[heads, length, length])?;
    let exact = buckets / if bidirectional { 4 } else { 2 };
    if exact == 0 || max_distance <= exact {
        return Err(RunError::Buckets { buckets, max_distance });
    }
    elements(&[length, length])?;
    let table = row_major(table);
    let buckets = tables::buckets(length, buckets, max_distance, bidirectional);
    let mut result = Vec::with_capacity(count);
    for head in 0..heads {
        result.extend(buckets.iter().map(|&bucket| table[bucket as usize * heads + head]));
    }
    from_vec(result, &[1, heads, length, length])
}

/// The middle of a square table.
pub(super) fn crop_table(table: &Floats, side: usize, height: usize, width: usize) -> Result<Floats, RunError> {
    let [_, rows, channels] = sizes(table, "table")?;
    if height > side || width > side || side.checked_mul(side) != Some(rows) {
        return Err(RunError::Crop { height, width, side });
    }
    let table = row_major(table);
    let kept = tables::cropped(side, height, width);
    let values = kept.into_iter().flat_map(|row| table[row * channels..(row + 1) * channels].iter().copied());
    from_vec(values.collect(), &[1, height * width, channels])
}

/// Sines and cosines of a grid of frames, rows and columns.
pub(super) fn sincos_table(dim: usize, grid: [usize; 3], spatial_scale: f64, temporal_scale: f64) -> Result<Floats, RunError> {
    let rows: Option<usize> = grid.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    let rows = rows.ok_or(RunError::GridTooLarge)?;
    elements(&[rows, dim])?;
    from_vec(tables::sincos_3d(dim, grid, spatial_scale, temporal_scale), &[1, rows, dim])
}

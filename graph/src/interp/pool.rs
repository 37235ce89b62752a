//! Windows over pictures: pooling and resizing.

use ndarray::ArrayD;

use super::tensor::{elements, from_vec, row_major, sizes};
use crate::error::RunError;
use crate::ir::Interpolation;
use crate::tables;

type Floats = ArrayD<f64>;

/// The largest element of each window.
pub(super) fn max(x: &Floats, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 4]) -> Result<Floats, RunError> {
    over_windows(x, kernel, stride, padding, |values| values.iter().copied().fold(f64::NEG_INFINITY, larger))
}

/// NaN wins, as in torch.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The mean of each window, over the kernel or over the elements inside the picture.
pub(super) fn average(
    x: &Floats,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    count_padding: bool,
) -> Result<Floats, RunError> {
    let whole = (kernel[0] as f64) * (kernel[1] as f64);
    over_windows(x, kernel, stride, padding, |values| {
        values.iter().sum::<f64>() / if count_padding { whole } else { values.len() as f64 }
    })
}

/// `reduce` of the elements of each window that lie inside the picture.
fn over_windows(
    x: &Floats,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    reduce: impl Fn(&[f64]) -> f64,
) -> Result<Floats, RunError> {
    let [batch, channels, height, width] = sizes(x, "x")?;
    if kernel.contains(&0) || stride.contains(&0) || (0..4).any(|side| padding[side] >= kernel[side % 2]) {
        return Err(RunError::Pool);
    }
    let size = [height, width];
    let side = |axis: usize| {
        let padded = size[axis].saturating_add(padding[axis]).saturating_add(padding[axis + 2]);
        padded.checked_sub(kernel[axis]).map(|room| room / stride[axis] + 1).ok_or(RunError::Kernel)
    };
    let (rows, columns) = (side(0)?, side(1)?);
    let mut result = Vec::with_capacity(elements(&[batch, channels, rows, columns])?);
    let inside = |index: usize, axis: usize| {
        let start = (index * stride[axis]).saturating_sub(padding[axis]);
        start..(index * stride[axis] + kernel[axis]).saturating_sub(padding[axis]).min(size[axis])
    };
    let mut window = Vec::new();
    for plane in row_major(x).chunks((height * width).max(1)).take(batch * channels) {
        for row in 0..rows {
            for column in 0..columns {
                window.clear();
                for y in inside(row, 0) {
                    window.extend_from_slice(&plane[y * width..][inside(column, 1)]);
                }
                result.push(reduce(&window));
            }
        }
    }
    from_vec(result, &[batch, channels, rows, columns])
}

/// Another number of rows and columns.
pub(super) fn resize(x: &Floats, height: usize, width: usize, mode: Interpolation) -> Result<Floats, RunError> {
    let [batch, channels, rows, columns] = sizes(x, "x")?;
    if [rows, columns, height, width].contains(&0) {
        return Err(RunError::Resize { shape: x.shape().to_vec(), height, width });
    }
    for shape in [[height, rows], [width, columns]] {
        elements(&shape)?;
    }
    let mut result = Vec::with_capacity(elements(&[batch, channels, height, width])?);
    let (down, across) = (tables::resize(rows, height, mode), tables::resize(columns, width, mode));
    let dot =
        |weights: &[f64], values: &mut dyn Iterator<Item = f64>| weights.iter().zip(values).map(|(w, v)| w * v).sum::<f64>();
    for plane in row_major(x).chunks(rows * columns) {
        let stretched: Vec<f64> = plane
            .chunks(columns)
            .flat_map(|row| across.chunks(columns).map(move |weights| dot(weights, &mut row.iter().copied())))
            .collect();
        for weights in down.chunks(rows) {
            result.extend((0..width).map(|column| dot(weights, &mut stretched.iter().skip(column).step_by(width).copied())));
        }
    }
    from_vec(result, &[batch, channels, height, width])
}

//! Products with weights: linear layers, matrix products, convolutions.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{ArrayD, ArrayView2};
use rayon::prelude::*;

use super::shape;
use super::tensor::{expect, from_vec, row_major, sizes};
use crate::error::RunError;

type Floats = ArrayD<f64>;

/// `x [.., i] · weightᵀ [i, o] + bias [o]`.
pub(super) fn linear(x: &Floats, weight: &Floats, bias: Option<&Floats>) -> Result<Floats, RunError> {
    let [out, width] = sizes(weight, "weight")?;
    let Some((&last, batch)) = x.shape().split_last() else { return Err(RunError::Scalar) };
    if last != width {
        return Err(RunError::Linear { x: x.shape().to_vec(), weight: weight.shape().to_vec() });
    }
    let rows: usize = batch.iter().product();
    let (x, weight) = (row_major(x), row_major(weight));
    let mut result = product(matrix(&x, rows, width)?, matrix(&weight, out, width)?.reversed_axes());
    if let Some(bias) = bias {
        expect(bias, &[out], "bias")?;
        for row in result.chunks_mut(out.max(1)) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
    from_vec(result, &[batch, &[out]].concat())
}

/// `a [.., m, k] · b [.., k, n]`, each possibly given transposed; batch dimensions broadcast.
pub(super) fn mat_mul(a: &Floats, b: &Floats, transpose_a: bool, transpose_b: bool) -> Result<Floats, RunError> {
    let [rows_a, columns_a] = last_two(a)?;
    let [rows_b, columns_b] = last_two(b)?;
    let (m, k) = if transpose_a { (columns_a, rows_a) } else { (rows_a, columns_a) };
    let (inner, n) = if transpose_b { (columns_b, rows_b) } else { (rows_b, columns_b) };
    if k != inner {
        return Err(RunError::Inner { a: k, b: inner });
    }
    let batch = shape::broadcast_shape(&a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
    let a = shape::expand(a, &[&batch[..], &[rows_a, columns_a]].concat())?;
    let b = shape::expand(b, &[&batch[..], &[rows_b, columns_b]].concat())?;
    let (a, b) = (row_major(&a), row_major(&b));
    let mut result = Vec::with_capacity(batch.iter().product::<usize>() * m * n);
    for i in 0..batch.iter().product() {
        let a = matrix(&a[i * m * k..], rows_a, columns_a)?;
        let b = matrix(&b[i * k * n..], rows_b, columns_b)?;
        let a = if transpose_a { a.reversed_axes() } else { a };
        let b = if transpose_b { b.reversed_axes() } else { b };
        result.extend(product(a, b));
    }
    from_vec(result, &[&batch[..], &[m, n]].concat())
}

/// The first `rows * columns` elements as a matrix.
pub(super) fn matrix(values: &[f64], rows: usize, columns: usize) -> Result<ArrayView2<'_, f64>, RunError> {
    let values = values.get(..rows * columns).ok_or(RunError::TooShort)?;
    Ok(ArrayView2::from_shape((rows, columns), values)?)
}

/// A matrix product, row-major.
pub(super) fn product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Vec<f64> {
    let product = a.dot(&b);
    match product.as_slice() {
        Some(values) => values.to_vec(),
        None => product.iter().copied().collect(),
    }
}

fn last_two(x: &Floats) -> Result<[usize; 2], RunError> {
    match x.shape() {
        [.., rows, columns] => Ok([*rows, *columns]),
        shape => Err(RunError::NotAMatrix { shape: shape.to_vec() }),
    }
}

/// How a convolution's window moves.
pub(super) struct Geometry {
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
    pub dilation: [usize; 2],
    pub groups: usize,
}

/// Two-dimensional cross-correlation with zero padding.
pub(super) fn conv2d(x: &Floats, weight: &Floats, bias: Option<&Floats>, geometry: &Geometry) -> Result<Floats, RunError> {
    let Geometry { stride, padding, dilation, groups } = *geometry;
    let [batch, channels, height, width] = sizes(x, "x")?;
    let [out, in_group, kernel_h, kernel_w] = sizes(weight, "weight")?;
    if groups == 0 || in_group * groups != channels || out % groups != 0 || stride.contains(&0) || dilation.contains(&0) {
        return Err(RunError::Convolution { x: x.shape().to_vec(), weight: weight.shape().to_vec(), groups });
    }
    let side = |size: usize, kernel: usize, axis: usize| {
        let reach = dilation[axis].saturating_mul(kernel.max(1) - 1).saturating_add(1);
        (size + padding[axis] + padding[axis + 2]).checked_sub(reach).map(|room| room / stride[axis] + 1)
    };
    let (Some(out_h), Some(out_w)) = (side(height, kernel_h, 0), side(width, kernel_w, 1)) else {
        return Err(RunError::Kernel);
    };
    if let Some(bias) = bias {
        expect(bias, &[out], "bias")?;
    }
    let (x, weight) = (row_major(x), row_major(weight));
    let bias: Option<Cow<[f64]>> = bias.map(row_major);
    let mut result = vec![0.0; batch * out * out_h * out_w];
    let columns: Vec<Range<usize>> =
        (0..kernel_w).map(|kx| reached(kx * dilation[1], stride[1], padding[1], width, out_w)).collect();
    // One output plane per task: each element is summed in the same order whatever the number of threads.
    result.par_chunks_mut((out_h * out_w).max(1)).enumerate().for_each(|(plane, y)| {
        let (image, o) = (plane / out, plane % out);
        y.fill(bias.as_ref().map_or(0.0, |bias| bias[o]));
        let first = o / (out / groups) * in_group;
        for c in 0..in_group {
            let input = &x[(image * channels + first + c) * height * width..][..height * width];
            for ky in 0..kernel_h {
                for oy in reached(ky * dilation[0], stride[0], padding[0], height, out_h) {
                    let input = &input[(oy * stride[0] + ky * dilation[0] - padding[0]) * width..][..width];
                    for (kx, columns) in columns.iter().enumerate().filter(|(_, columns)| !columns.is_empty()) {
                        let factor = weight[((o * in_group + c) * kernel_h + ky) * kernel_w + kx];
                        let input = &input[columns.start * stride[1] + kx * dilation[1] - padding[1]..];
                        let output = &mut y[oy * out_w..][columns.clone()];
                        output.iter_mut().zip(input.iter().step_by(stride[1])).for_each(|(y, x)| *y += factor * x);
                    }
                }
            }
        }
    });
    from_vec(result, &[batch, out, out_h, out_w])
}

/// The output positions `o` for which `o * stride + offset - before` lies inside an axis of this size.
pub(super) fn reached(offset: usize, stride: usize, before: usize, size: usize, outputs: usize) -> Range<usize> {
    let start = before.saturating_sub(offset).div_ceil(stride);
    let end = (size + before).saturating_sub(offset).div_ceil(stride).min(outputs);
    start.min(end)..end
}

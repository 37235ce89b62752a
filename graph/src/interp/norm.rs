//! Statistics over axes: normalisations, softmax, reductions.

use ndarray::{ArrayD, Axis};

use super::pointwise;
use super::tensor::{expect, from_vec, row_major};
use crate::error::RunError;
use crate::ir::ReduceKind;

type Floats = ArrayD<f64>;

/// Normalises each group of channels of each image, then scales and shifts per channel.
pub(super) fn group_norm(
    x: &Floats,
    weight: &Floats,
    bias: &Floats,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Floats, RunError> {
    let &[images, channels, ref positions @ ..] = x.shape() else { return Err(RunError::NoChannels) };
    if groups == 0 || channels % groups != 0 {
        return Err(RunError::Groups { channels, groups });
    }
    expect(weight, &[channels], "weight")?;
    expect(bias, &[channels], "bias")?;
    let plane: usize = positions.iter().product();
    let mut values = row_major(x).into_owned();
    let group = channels / groups * plane;
    values.chunks_mut(group.max(1)).take(images * groups).for_each(|chunk| normalise(chunk, eps));
    for (i, chunk) in values.chunks_mut(plane.max(1)).enumerate() {
        let channel = i % channels;
        for y in chunk {
            *y = *y * weight[channel] + bias[channel];
            if silu {
                *y = pointwise::silu(*y);
            }
        }
    }
    from_vec(values, x.shape())
}

/// Normalises the last dimension, then scales and shifts per position of it.
pub(super) fn layer_norm(x: &Floats, weight: Option<&Floats>, bias: Option<&Floats>, eps: f64) -> Result<Floats, RunError> {
    let Some(&width) = x.shape().last() else { return Err(RunError::NoLastDimension) };
    for (operand, name) in [(weight, "weight"), (bias, "bias")] {
        operand.map_or(Ok(()), |operand| expect(operand, &[width], name))?;
    }
    let mut values = row_major(x).into_owned();
    for row in values.chunks_mut(width.max(1)) {
        normalise(row, eps);
        for (i, y) in row.iter_mut().enumerate() {
            *y = *y * weight.map_or(1.0, |w| w[i]) + bias.map_or(0.0, |b| b[i]);
        }
    }
    from_vec(values, x.shape())
}

/// Divides by the root of the mean square of the last dimension, then scales per position of it.
pub(super) fn rms_norm(x: &Floats, weight: Option<&Floats>, eps: f64) -> Result<Floats, RunError> {
    let Some(&width) = x.shape().last() else { return Err(RunError::NoLastDimension) };
    weight.map_or(Ok(()), |weight| expect(weight, &[width], "weight"))?;
    let mut values = row_major(x).into_owned();
    for row in values.chunks_mut(width.max(1)) {
        let mean_square = row.iter().map(|v| v * v).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean_square + eps).sqrt();
        for (i, y) in row.iter_mut().enumerate() {
            *y = *y * scale * weight.map_or(1.0, |w| w[i]);
        }
    }
    from_vec(values, x.shape())
}

/// Subtracts the mean and divides by the root of the biased variance plus `eps`.
fn normalise(values: &mut [f64], eps: f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
    let scale = 1.0 / (variance + eps).sqrt();
    values.iter_mut().for_each(|v| *v = (*v - mean) * scale);
}

/// Softmax over one axis.
pub(super) fn softmax(x: &Floats, axis: usize) -> Result<Floats, RunError> {
    if axis >= x.ndim() {
        return Err(RunError::NoAxis { shape: x.shape().to_vec(), axis });
    }
    let mut result = x.as_standard_layout().into_owned();
    for mut lane in result.lanes_mut(Axis(axis)) {
        let largest = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        lane.mapv_inplace(|v| (v - largest).exp());
        let sum = lane.sum();
        lane.mapv_inplace(|v| v / sum);
    }
    Ok(result)
}

/// Mean, sum or largest element over axes, given ascending.
pub(super) fn reduce(x: &Floats, kind: ReduceKind, axes: &[usize], keep_dims: bool) -> Result<Floats, RunError> {
    let mut result = x.as_standard_layout().into_owned();
    // From the last axis to the first, so that earlier ones keep their numbers.
    for &axis in axes.iter().rev() {
        if axis >= result.ndim() {
            return Err(RunError::NoAxis { shape: x.shape().to_vec(), axis });
        }
        result = match kind {
            ReduceKind::Sum | ReduceKind::Mean => result.sum_axis(Axis(axis)),
            ReduceKind::Max if result.len_of(Axis(axis)) == 0 => return Err(RunError::EmptyAxis),
            ReduceKind::Max => result.fold_axis(Axis(axis), f64::NEG_INFINITY, |a, b| if b.is_nan() { *b } else { a.max(*b) }),
        };
        if keep_dims {
            result = result.insert_axis(Axis(axis));
        }
    }
    if kind == ReduceKind::Mean {
        let count: usize = axes.iter().filter_map(|&axis| x.shape().get(axis)).product();
        result.mapv_inplace(|v| v / count as f64);
    }
    Ok(result.as_standard_layout().into_owned())
}

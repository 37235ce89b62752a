//! Windows that move over pictures and volumes: convolutions and pooling, and SAM's attention windows.

use super::parts::{dims, expect, known};
use crate::error::InferError;
use crate::ir::dim::Dim;
use crate::ir::types::{Shape, Type};

/// A convolution over `N` dimensions; `padding` holds the sizes before each of them, then those after.
pub(super) fn conv<const N: usize>(
    inputs: &[&Type],
    stride: [usize; N],
    padding: &[usize],
    dilation: [usize; N],
    groups: usize,
) -> Result<Type, InferError> {
    let (x, weight) = (inputs[0].shape.to_string(), inputs[1].shape.to_string());
    let ([batch, channels, positions @ ..], [out, in_group, kernels @ ..]) = (&inputs[0].shape.0[..], &inputs[1].shape.0[..])
    else {
        return Err(InferError::Linear { x, weight });
    };
    if positions.len() != N || kernels.len() != N || padding.len() != 2 * N {
        return Err(InferError::ConvolutionRank { x, weight, rank: N + 2 });
    }
    if groups == 0 || stride.contains(&0) || dilation.contains(&0) {
        return Err(InferError::ConvolutionZero);
    }
    if in_group.scaled(groups) != *channels || out.exact_div(groups).is_err() {
        return Err(InferError::Convolution { x, weight, groups });
    }
    if let Some(bias) = inputs.get(2) {
        expect(bias, std::slice::from_ref(out), "bias")?;
    }
    let mut shape = vec![batch.clone(), out.clone()];
    for axis in 0..N {
        let reach = dilation[axis].checked_mul(known(&kernels[axis])?.max(1) - 1).and_then(|reach| reach.checked_add(1));
        let reach = reach.ok_or(InferError::KernelTooLarge)?;
        shape.push(count(&positions[axis], reach, stride[axis], [padding[axis], padding[axis + N]])?);
    }
    Ok(Type { dtype: inputs[0].dtype, shape: Shape(shape) })
}

/// How many windows of `reach` fit on a padded axis.
fn count(size: &Dim, reach: usize, stride: usize, padding: [usize; 2]) -> Result<Dim, InferError> {
    let padded = size.plus(&Dim::constant(padding[0])).plus(&Dim::constant(padding[1]));
    if padded.known().is_some_and(|padded| padded < reach) {
        return Err(InferError::Kernel { reach, padded: padded.to_string() });
    }
    let reach = i64::try_from(reach).map_err(|_| InferError::KernelTooLarge)?;
    Ok(padded.offset(-reach).floor_div(stride)?.offset(1))
}

pub(super) fn pool(x: &Type, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 4]) -> Result<Type, InferError> {
    let [batch, channels, height, width] = dims::<4>(x)?;
    if kernel.contains(&0) || stride.contains(&0) || (0..4).any(|side| padding[side] >= kernel[side % 2]) {
        return Err(InferError::Pool);
    }
    let rows = count(height, kernel[0], stride[0], [padding[0], padding[2]])?;
    let columns = count(width, kernel[1], stride[1], [padding[1], padding[3]])?;
    Ok(Type { dtype: x.dtype, shape: Shape(vec![batch.clone(), channels.clone(), rows, columns]) })
}

pub(super) fn partition(x: &Type, window: usize) -> Result<Type, InferError> {
    let [batch, height, width, channels] = dims::<4>(x)?;
    let (height, width) = (known(height)?, known(width)?);
    if window == 0 {
        return Err(InferError::EmptyWindow);
    }
    let shape = vec![batch.scaled(tiles(window, height, width)?), window.into(), window.into(), channels.clone()];
    Ok(Type { dtype: x.dtype, shape: Shape(shape) })
}

pub(super) fn merge(x: &Type, window: usize, height: usize, width: usize) -> Result<Type, InferError> {
    let [batch, rows, columns, channels] = dims::<4>(x)?;
    if window == 0 || !rows.is(window) || !columns.is(window) {
        return Err(InferError::NotWindows { shape: x.shape.to_string(), window });
    }
    let batch = batch.exact_div(tiles(window, height, width)?)?;
    Ok(Type { dtype: x.dtype, shape: Shape(vec![batch, height.into(), width.into(), channels.clone()]) })
}

/// Windows that cover a picture.
fn tiles(window: usize, height: usize, width: usize) -> Result<usize, InferError> {
    height.div_ceil(window).checked_mul(width.div_ceil(window)).ok_or(InferError::TooManyWindows)
}

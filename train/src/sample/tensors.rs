//! The few operations on host tensors between one network and the next.

use dmdx_runtime::Tensor;

use crate::error::TrainError;

fn wrap(error: dmdx_runtime::Error) -> TrainError {
    TrainError::component("putting a network's inputs together", error)
}

/// A tensor of floats.
pub(super) fn floats(shape: &[usize], values: Vec<f32>) -> Result<Tensor, TrainError> {
    Tensor::f32(shape, values).map_err(wrap)
}

/// A tensor's floats.
pub(super) fn values(tensor: &Tensor) -> Result<&[f32], TrainError> {
    tensor.floats().map_err(wrap)
}

/// Tensors side by side along one axis.
pub(super) fn join(tensors: &[Tensor], axis: usize) -> Result<Tensor, TrainError> {
    let invalid = || {
        let shapes: Vec<&[usize]> = tensors.iter().map(Tensor::shape).collect();
        TrainError::Invalid(format!("tensors of shapes {shapes:?} cannot be joined along axis {axis}"))
    };
    let mut shape = tensors.first().ok_or_else(invalid)?.shape().to_vec();
    let fits = |tensor: &Tensor| {
        let sizes = tensor.shape();
        sizes.len() == shape.len() && sizes.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b)
    };
    if axis >= shape.len() || !tensors.iter().all(fits) {
        return Err(invalid());
    }
    let outer: usize = shape[..axis].iter().product();
    let mut joined = Vec::new();
    for row in 0..outer {
        for tensor in tensors {
            let length: usize = tensor.shape()[axis..].iter().product();
            joined.extend_from_slice(&values(tensor)?[row * length..(row + 1) * length]);
        }
    }
    shape[axis] = tensors.iter().map(|tensor| tensor.shape()[axis]).sum();
    floats(&shape, joined)
}

/// Zeros behind every row of the last axis, up to `width`.
pub(super) fn padded(tensor: Tensor, width: usize) -> Result<Tensor, TrainError> {
    let mut shape = tensor.shape().to_vec();
    let missing = shape.last().and_then(|last| width.checked_sub(*last));
    let (Some(missing), Some(last)) = (missing, shape.last_mut()) else {
        return Err(TrainError::Invalid(format!(
            "a tensor of shape {:?} cannot be padded to a width of {width}",
            tensor.shape()
        )));
    };
    *last = missing;
    let zeros = floats(&shape, vec![0.0; shape.iter().product()])?;
    join(&[tensor, zeros], shape.len() - 1)
}

/// What is left of the second axis of a video `[b, f, c, h, w]` without its first frames.
pub(super) fn without_first(tensor: &Tensor, frames: usize) -> Result<Tensor, TrainError> {
    let &[batch, all, channels, height, width] = tensor.shape() else { return Err(no_video(tensor)) };
    let left = all.checked_sub(frames).ok_or_else(|| no_video(tensor))?;
    let frame = channels * height * width;
    let kept = values(tensor)?.chunks((all * frame).max(1)).flat_map(|video| &video[frames * frame..]);
    floats(&[batch, left, channels, height, width], kept.copied().collect())
}

fn no_video(tensor: &Tensor) -> TrainError {
    TrainError::Invalid(format!("a tensor of shape {:?} is not a video of five dimensions with enough frames", tensor.shape()))
}

/// Swaps two axes of a tensor of five dimensions, `[b, f, c, h, w]` to `[b, c, f, h, w]` and back.
pub(super) fn frames_and_channels_swapped(tensor: &Tensor) -> Result<Tensor, TrainError> {
    let &[batch, first, second, height, width] = tensor.shape() else { return Err(no_video(tensor)) };
    let (plane, source) = (height * width, values(tensor)?);
    let mut swapped = Vec::with_capacity(source.len());
    for sample in 0..batch {
        for j in 0..second {
            for i in 0..first {
                swapped.extend_from_slice(&source[((sample * first + i) * second + j) * plane..][..plane]);
            }
        }
    }
    floats(&[batch, second, first, height, width], swapped)
}

/// Every element through a function.
pub(super) fn map(tensor: &Tensor, function: impl Fn(f64) -> f64) -> Result<Tensor, TrainError> {
    floats(tensor.shape(), values(tensor)?.iter().map(|&value| function(f64::from(value)) as f32).collect())
}

/// Every element of `[b, c, ..]` through a function of its channel and itself.
pub(super) fn map_channels(tensor: &Tensor, function: impl Fn(usize, f64) -> f64) -> Result<Tensor, TrainError> {
    let &[_, channels, ref inner @ ..] = tensor.shape() else {
        return Err(TrainError::Invalid(format!("a tensor of shape {:?} has no channels", tensor.shape())));
    };
    let plane = inner.iter().product::<usize>().max(1);
    let value = |(index, &value): (usize, &f32)| function(index / plane % channels, f64::from(value)) as f32;
    floats(tensor.shape(), values(tensor)?.iter().enumerate().map(value).collect())
}

//! Convolution over time, rows and columns: the sum over the kernel's taps in time of convolutions of pictures. With its
//! gradients that is faster on the CPU than Burn's own three-dimensional convolution where channels are many (with 128, by
//! a fifth to a third), slower where they are few, and each sum has the same order whatever the number of threads.

use super::layout::pad;
use super::{Operands, Result, dims};
use crate::error::OperationError;
use crate::kernels;
use crate::module::Value;

/// How a convolution's window moves.
pub(super) struct Geometry {
    pub(super) stride: [usize; 3],
    /// Front, top, left, back, bottom, right.
    pub(super) padding: [usize; 6],
    pub(super) dilation: [usize; 3],
    pub(super) groups: usize,
}

pub(super) fn conv3d(of: &mut Operands, geometry: &Geometry) -> Result<Value> {
    let (x, weight, bias) = (of.next()?, of.next()?, of.optional());
    let Geometry { stride, padding: [front, top, left, back, bottom, right], dilation, groups } = *geometry;
    let [batch, channels, frames, height, width] = dims(&x)?;
    let [outputs, per_group, taps, kernel_height, kernel_width] = dims(&weight)?;
    let padded = [frames + front + back, height + top + bottom, width + left + right];
    let kernel = [taps, kernel_height, kernel_width];
    let mut size = [0; 3];
    for axis in 0..3 {
        let reach = dilation[axis] * kernel[axis].saturating_sub(1) + 1;
        let room = padded[axis].checked_sub(reach).filter(|_| stride[axis] > 0 && kernel[axis] > 0);
        let room = room.ok_or(OperationError::VolumeKernel { kernel, padded })?;
        size[axis] = room / stride[axis] + 1;
    }
    // Frames outermost: every tap sees a contiguous run of pictures.
    let mut pictures = x.permuted(&[2, 0, 1, 3, 4]);
    if front + back > 0 {
        pictures = pad(pictures, &[[front, back], [0, 0], [0, 0], [0, 0], [0, 0]], 0.0);
    }
    let mut total: Option<Value> = None;
    for tap in 0..taps {
        let first = tap * dilation[0];
        let seen = if stride[0] == 1 {
            pictures.rows(first, size[0])
        } else {
            let frames: Vec<usize> = (0..size[0]).map(|frame| frame * stride[0] + first).collect();
            pictures.pick(&frames)?
        };
        let seen = seen.reshape(&[size[0] * batch, channels, height, width])?;
        let slice = weight.slice(2, tap, 1).reshape(&[outputs, per_group, kernel_height, kernel_width])?;
        let part = Value::Float(kernels::conv2d(
            seen.tensor(),
            slice.tensor(),
            bias.as_ref().filter(|_| tap == 0),
            [stride[1], stride[2]],
            [top, left, bottom, right],
            [dilation[1], dilation[2]],
            groups,
        ));
        total = Some(match total {
            Some(total) => Value::Float(kernels::add(total.tensor(), part.tensor())),
            None => part,
        });
    }
    let total = total.ok_or(OperationError::EmptyKernel)?;
    let apart = total.reshape(&[size[0], batch, outputs, size[1], size[2]])?;
    Ok(apart.permuted(&[1, 2, 0, 3, 4]))
}

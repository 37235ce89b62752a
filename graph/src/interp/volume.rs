//! Convolution over time, rows and columns.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::ArrayD;
use rayon::prelude::*;

use super::dense::reached;
use super::tensor::{elements, expect, from_vec, row_major, sizes};
use crate::error::RunError;

type Floats = ArrayD<f64>;

/// How a convolution's window moves.
pub(super) struct Geometry {
    pub stride: [usize; 3],
    /// Front, top, left, back, bottom, right.
    pub padding: [usize; 6],
    pub dilation: [usize; 3],
    pub groups: usize,
}

/// Three-dimensional cross-correlation with zero padding.
pub(super) fn conv3d(x: &Floats, weight: &Floats, bias: Option<&Floats>, geometry: &Geometry) -> Result<Floats, RunError> {
    let Geometry { stride, padding, dilation, groups } = *geometry;
    let [batch, channels, frames, height, width] = sizes(x, "x")?;
    let [out, in_group, kernel_f, kernel_h, kernel_w] = sizes(weight, "weight")?;
    if groups == 0 || in_group * groups != channels || out % groups != 0 || stride.contains(&0) || dilation.contains(&0) {
        return Err(RunError::Convolution { x: x.shape().to_vec(), weight: weight.shape().to_vec(), groups });
    }
    let side = |size: usize, kernel: usize, axis: usize| {
        let reach = dilation[axis].saturating_mul(kernel.max(1) - 1).saturating_add(1);
        let padded = size.saturating_add(padding[axis]).saturating_add(padding[axis + 3]);
        padded.checked_sub(reach).map(|room| room / stride[axis] + 1).ok_or(RunError::Kernel)
    };
    let [out_f, out_h, out_w] = [side(frames, kernel_f, 0)?, side(height, kernel_h, 1)?, side(width, kernel_w, 2)?];
    if let Some(bias) = bias {
        expect(bias, &[out], "bias")?;
    }
    let count = elements(&[batch, out, out_f, out_h, out_w])?;
    let (x, weight) = (row_major(x), row_major(weight));
    let bias: Option<Cow<[f64]>> = bias.map(row_major);
    let mut result = vec![0.0; count];
    let columns: Vec<Range<usize>> =
        (0..kernel_w).map(|kx| reached(kx * dilation[2], stride[2], padding[2], width, out_w)).collect();
    // One output volume per task: each element is summed in the same order whatever the number of threads.
    result.par_chunks_mut((out_f * out_h * out_w).max(1)).enumerate().for_each(|(volume, y)| {
        let (image, o) = (volume / out, volume % out);
        y.fill(bias.as_ref().map_or(0.0, |bias| bias[o]));
        let first = o / (out / groups) * in_group;
        for c in 0..in_group {
            let input = &x[(image * channels + first + c) * frames * height * width..][..frames * height * width];
            for (kf, kh) in (0..kernel_f).flat_map(|kf| (0..kernel_h).map(move |kh| (kf, kh))) {
                let factors = &weight[(((o * in_group + c) * kernel_f + kf) * kernel_h + kh) * kernel_w..][..kernel_w];
                for of in reached(kf * dilation[0], stride[0], padding[0], frames, out_f) {
                    let frame = of * stride[0] + kf * dilation[0] - padding[0];
                    for oy in reached(kh * dilation[1], stride[1], padding[1], height, out_h) {
                        let row = oy * stride[1] + kh * dilation[1] - padding[1];
                        let input = &input[(frame * height + row) * width..][..width];
                        let output = &mut y[(of * out_h + oy) * out_w..][..out_w];
                        for (kx, columns) in columns.iter().enumerate().filter(|(_, columns)| !columns.is_empty()) {
                            let input = &input[columns.start * stride[2] + kx * dilation[2] - padding[2]..];
                            let output = &mut output[columns.clone()];
                            output.iter_mut().zip(input.iter().step_by(stride[2])).for_each(|(y, x)| *y += factors[kx] * x);
                        }
                    }
                }
            }
        }
    });
    from_vec(result, &[batch, out, out_f, out_h, out_w])
}

//! Root mean square normalisation of lines with its gradients.

use rayon::prelude::*;

use super::elementwise::lines;
use super::matrix::column_sums;
use super::simd::{dot, vectorised};

/// The normalised and scaled lines of `width` elements, and 1 / sqrt(mean square + eps) of each.
pub(super) fn rms_norm(x: &[f32], width: usize, weight: Option<&[f32]>, eps: f32) -> (Vec<f32>, Vec<f32>) {
    let mut y = vec![0.0; x.len()];
    let mut scales = vec![0.0; x.len() / width.max(1)];
    if width == 0 {
        return (y, scales);
    }
    let count = lines(width);
    let pieces = y.par_chunks_mut(count * width).zip(x.par_chunks(count * width)).zip(scales.par_chunks_mut(count));
    pieces.for_each(|((y, x), scales)| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, x), scale) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(scales.iter_mut()) {
                    *scale = 1.0 / (dot(x, x) / width as f32 + eps).sqrt();
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = x * *scale;
                    }
                    if let Some(weight) = weight {
                        for (y, w) in y.iter_mut().zip(weight) {
                            *y *= w;
                        }
                    }
                }
            },
        );
    });
    (y, scales)
}

/// Gradients of input and weight; the second is computed on request.
pub(super) fn rms_norm_backward(
    x: &[f32],
    width: usize,
    weight: Option<&[f32]>,
    scales: &[f32],
    gradient: &[f32],
    parameters: bool,
) -> (Vec<f32>, Vec<f32>) {
    let mut dx = vec![0.0; x.len()];
    if width == 0 {
        return (dx, Vec::new());
    }
    let count = lines(width);
    // Each piece adds up its own part of the weight's gradient.
    let mut parts = vec![0.0; x.len().div_ceil(count * width) * if parameters { width } else { 1 }];
    let part = if parameters { width } else { 1 };
    let inputs = x.par_chunks(count * width).zip(gradient.par_chunks(count * width)).zip(scales.par_chunks(count));
    dx.par_chunks_mut(count * width).zip(parts.par_chunks_mut(part)).zip(inputs).for_each(
        |((dx, parts), ((x, gradient), scales))| {
            vectorised(
                #[inline(always)]
                || {
                    let inputs = x.chunks_exact(width).zip(gradient.chunks_exact(width)).zip(scales);
                    for (dx, ((x, gradient), scale)) in dx.chunks_exact_mut(width).zip(inputs) {
                        match weight {
                            Some(weight) => {
                                for ((dx, g), w) in dx.iter_mut().zip(gradient).zip(weight) {
                                    *dx = g * w;
                                }
                            }
                            None => dx.copy_from_slice(gradient),
                        }
                        let along = dot(dx, x) * scale * scale / width as f32;
                        for (dx, x) in dx.iter_mut().zip(x) {
                            *dx = scale * (*dx - x * along);
                        }
                        if parameters {
                            for ((dw, x), g) in parts.iter_mut().zip(x).zip(gradient) {
                                *dw += g * (x * scale);
                            }
                        }
                    }
                },
            );
        },
    );
    let dw = if parameters { column_sums(&parts, width) } else { Vec::new() };
    (dx, dw)
}

//! Group and layer normalisation with their gradients.

use rayon::prelude::*;

use super::elementwise::lines;
use super::matrix::column_sums;
use super::simd::{Curve, Silu, dot_centred, sum, sum_squares, vectorised};

/// What the backward pass needs beside the input: the mean and 1 / sqrt(variance + eps) of every group.
pub(super) struct Statistics {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

#[inline(always)]
fn measure(values: &[f32], eps: f32) -> (f32, f32) {
    let count = values.len() as f32;
    let mean = sum(values) / count;
    let variance = sum_squares(values, mean) / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Sizes of a group normalisation of `[batch, channels, size]`.
#[derive(Clone, Copy)]
pub(super) struct Groups {
    pub(super) channels: usize,
    pub(super) size: usize,
    pub(super) groups: usize,
    pub(super) eps: f32,
    /// Apply SiLU to the result.
    pub(super) activate: bool,
}

/// Images per parallel piece.
fn images(g: &Groups) -> usize {
    lines(g.channels * g.size)
}

/// The normalised, scaled, shifted and, where asked, activated input.
pub(super) fn group_norm(x: &[f32], weight: &[f32], bias: &[f32], g: &Groups) -> (Vec<f32>, Statistics) {
    let image = g.channels * g.size;
    let batch = x.len() / image.max(1);
    let mut y = vec![0.0; x.len()];
    let mut statistics = Statistics { mean: vec![0.0; batch * g.groups], scale: vec![0.0; batch * g.groups] };
    if image == 0 {
        return (y, statistics);
    }
    let count = images(g);
    let means = statistics.mean.par_chunks_mut(count * g.groups).zip(statistics.scale.par_chunks_mut(count * g.groups));
    y.par_chunks_mut(count * image).zip(x.par_chunks(count * image)).zip(means).for_each(|((y, x), (mean, scale))| {
        vectorised(
            #[inline(always)]
            || {
                let group = image / g.groups;
                let measured = mean.iter_mut().zip(scale.iter_mut());
                for (x, (mean, scale)) in x.chunks_exact(group).zip(measured) {
                    (*mean, *scale) = measure(x, g.eps);
                }
                for (n, (y, x)) in y.chunks_exact_mut(image).zip(x.chunks_exact(image)).enumerate() {
                    let statistics = (&mean[n * g.groups..], &scale[n * g.groups..]);
                    affine(x, statistics, weight, bias, g, y);
                    if g.activate {
                        for y in y {
                            *y = Silu::value(*y);
                        }
                    }
                }
            },
        );
    });
    (y, statistics)
}

/// `(x - mean) scale weight + bias` of one image.
#[inline(always)]
fn affine(x: &[f32], statistics: (&[f32], &[f32]), weight: &[f32], bias: &[f32], g: &Groups, y: &mut [f32]) {
    let per_group = g.channels / g.groups;
    let channels = y.chunks_exact_mut(g.size).zip(x.chunks_exact(g.size));
    for (c, (y, x)) in channels.enumerate() {
        let mean = statistics.0[c / per_group];
        let factor = statistics.1[c / per_group] * weight[c];
        for (y, x) in y.iter_mut().zip(x) {
            *y = (x - mean) * factor + bias[c];
        }
    }
}

/// Gradients of input, weight and bias.
pub(super) fn group_norm_backward(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    statistics: &Statistics,
    gradient: &[f32],
    g: &Groups,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let image = g.channels * g.size;
    let mut dx = vec![0.0; x.len()];
    if image == 0 {
        return (dx, vec![0.0; g.channels], vec![0.0; g.channels]);
    }
    let batch = x.len() / image;
    // Per image, the sums that make up the gradients of weight and bias.
    let mut parts = vec![0.0; batch * g.channels * 2];
    let count = images(g);
    let inputs = x.par_chunks(count * image).zip(gradient.par_chunks(count * image));
    let means = statistics.mean.par_chunks(count * g.groups).zip(statistics.scale.par_chunks(count * g.groups));
    dx.par_chunks_mut(count * image).zip(parts.par_chunks_mut(count * g.channels * 2)).zip(inputs.zip(means)).for_each(
        |((dx, parts), ((x, gradient), (mean, scale)))| {
            vectorised(
                #[inline(always)]
                || {
                    let images = dx.chunks_exact_mut(image).zip(parts.chunks_exact_mut(g.channels * 2));
                    let inputs = x.chunks_exact(image).zip(gradient.chunks_exact(image));
                    for (n, ((dx, parts), (x, gradient))) in images.zip(inputs).enumerate() {
                        let statistics = (&mean[n * g.groups..], &scale[n * g.groups..]);
                        if g.activate {
                            affine(x, statistics, weight, bias, g, dx);
                            for (dx, gradient) in dx.iter_mut().zip(gradient) {
                                *dx = gradient * Silu::slope(*dx);
                            }
                        } else {
                            dx.copy_from_slice(gradient);
                        }
                        image_backward(x, statistics, weight, g, dx, parts);
                    }
                },
            );
        },
    );
    let sums = column_sums(&parts, g.channels * 2);
    let (dw, db) = sums.split_at(g.channels);
    (dx, dw.to_vec(), db.to_vec())
}

/// Replaces `dx`, the gradient of the affine result, by that of the input.
#[inline(always)]
fn image_backward(x: &[f32], statistics: (&[f32], &[f32]), weight: &[f32], g: &Groups, dx: &mut [f32], parts: &mut [f32]) {
    let per_group = g.channels / g.groups;
    let group = per_group * g.size;
    let (dw, db) = parts.split_at_mut(g.channels);
    for (i, (x, dx)) in x.chunks_exact(group).zip(dx.chunks_exact_mut(group)).enumerate() {
        let (mean, scale) = (statistics.0[i], statistics.1[i]);
        let (mut along, mut level) = (0.0, 0.0);
        for (j, (x, dx)) in x.chunks_exact(g.size).zip(dx.chunks_exact(g.size)).enumerate() {
            let c = i * per_group + j;
            dw[c] = dot_centred(dx, x, mean) * scale;
            db[c] = sum(dx);
            along += weight[c] * dw[c];
            level += weight[c] * db[c];
        }
        let slope = -(scale * scale) * along / group as f32;
        let shift = -scale * level / group as f32;
        for (j, (x, dx)) in x.chunks_exact(g.size).zip(dx.chunks_exact_mut(g.size)).enumerate() {
            let factor = scale * weight[i * per_group + j];
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = factor * *dx + (slope * (x - mean) + shift);
            }
        }
    }
}

/// Layer normalisation of lines of `width` elements.
pub(super) fn layer_norm(
    x: &[f32],
    width: usize,
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    eps: f32,
) -> (Vec<f32>, Statistics) {
    let rows = x.len() / width.max(1);
    let mut y = vec![0.0; x.len()];
    let mut statistics = Statistics { mean: vec![0.0; rows], scale: vec![0.0; rows] };
    if width == 0 {
        return (y, statistics);
    }
    let count = lines(width);
    let means = statistics.mean.par_chunks_mut(count).zip(statistics.scale.par_chunks_mut(count));
    y.par_chunks_mut(count * width).zip(x.par_chunks(count * width)).zip(means).for_each(|((y, x), (mean, scale))| {
        vectorised(
            #[inline(always)]
            || {
                let measured = mean.iter_mut().zip(scale.iter_mut());
                for ((y, x), (mean, scale)) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(measured) {
                    (*mean, *scale) = measure(x, eps);
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = (x - *mean) * *scale;
                    }
                    if let Some(weight) = weight {
                        for (y, w) in y.iter_mut().zip(weight) {
                            *y *= w;
                        }
                    }
                    if let Some(bias) = bias {
                        for (y, b) in y.iter_mut().zip(bias) {
                            *y += b;
                        }
                    }
                }
            },
        );
    });
    (y, statistics)
}

/// Gradients of input, weight and bias; the last two are computed on request.
pub(super) fn layer_norm_backward(
    x: &[f32],
    width: usize,
    weight: Option<&[f32]>,
    statistics: &Statistics,
    gradient: &[f32],
    parameters: bool,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut dx = vec![0.0; x.len()];
    if width == 0 {
        return (dx, Vec::new(), Vec::new());
    }
    let count = lines(width);
    let pieces = x.len().div_ceil(count * width);
    let mut parts = vec![0.0; if parameters { pieces * width * 2 } else { pieces }];
    let part = parts.len() / pieces.max(1);
    let inputs = x.par_chunks(count * width).zip(gradient.par_chunks(count * width));
    let means = statistics.mean.par_chunks(count).zip(statistics.scale.par_chunks(count));
    dx.par_chunks_mut(count * width).zip(parts.par_chunks_mut(part.max(1))).zip(inputs.zip(means)).for_each(
        |((dx, parts), ((x, gradient), (mean, scale)))| {
            vectorised(
                #[inline(always)]
                || {
                    let inputs = x.chunks_exact(width).zip(gradient.chunks_exact(width));
                    let measured = mean.iter().zip(scale);
                    for ((dx, (x, gradient)), (mean, scale)) in dx.chunks_exact_mut(width).zip(inputs).zip(measured) {
                        match weight {
                            Some(weight) => {
                                for ((dx, g), w) in dx.iter_mut().zip(gradient).zip(weight) {
                                    *dx = g * w;
                                }
                            }
                            None => dx.copy_from_slice(gradient),
                        }
                        let along = dot_centred(dx, x, *mean) * scale / width as f32;
                        let level = sum(dx) / width as f32;
                        for (dx, x) in dx.iter_mut().zip(x) {
                            *dx = scale * ((*dx - level) - (x - mean) * scale * along);
                        }
                        if parameters {
                            let (dw, db) = parts.split_at_mut(width);
                            for (((dw, db), x), g) in dw.iter_mut().zip(db).zip(x).zip(gradient) {
                                *dw += g * ((x - mean) * scale);
                                *db += g;
                            }
                        }
                    }
                },
            );
        },
    );
    if !parameters {
        return (dx, Vec::new(), Vec::new());
    }
    let sums = column_sums(&parts, width * 2);
    let (dw, db) = sums.split_at(width);
    (dx, dw.to_vec(), db.to_vec())
}

/// Sums of every channel of `[batch, channels, size]`: the gradient of a per-channel bias.
pub(super) fn channel_sums(values: &[f32], channels: usize, size: usize) -> Vec<f32> {
    if size == 0 || channels == 0 {
        return vec![0.0; channels];
    }
    let mut parts = vec![0.0; values.len() / size];
    let count = lines(size);
    parts.par_chunks_mut(count).zip(values.par_chunks(count * size)).for_each(|(parts, values)| {
        vectorised(
            #[inline(always)]
            || {
                for (part, values) in parts.iter_mut().zip(values.chunks_exact(size)) {
                    *part = sum(values);
                }
            },
        );
    });
    column_sums(&parts, channels)
}

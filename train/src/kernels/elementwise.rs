//! Elementwise kernels: activations, gated activations, sums and products with broadcasting.

use rayon::prelude::*;

use super::simd::{Curve, Gelu, vectorised};

/// Elements per parallel piece; smaller tensors stay on the calling thread.
const PIECE: usize = 1 << 14;

/// `y = f(x)`.
pub(super) fn map<C: Curve>(x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| map_piece::<C>(x, y));
    y
}

fn map_piece<C: Curve>(x: &[f32], y: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = C::value(*x);
            }
        },
    );
}

/// `dx = dy f'(x)`.
pub(super) fn map_backward<C: Curve>(x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE).zip(gradient.par_chunks(PIECE))).for_each(|(out, (x, gradient))| {
        vectorised(
            #[inline(always)]
            || {
                for (out, (x, g)) in out.iter_mut().zip(x.iter().zip(gradient)) {
                    *out = g * C::slope(*x);
                }
            },
        );
    });
    out
}

/// Lines per parallel piece for lines of `width` elements.
pub(super) fn lines(width: usize) -> usize {
    PIECE.div_ceil(width.max(1))
}

/// `y = a gelu(b)` for lines `[a, b]` of `2 half` elements.
pub(super) fn geglu(x: &[f32], half: usize) -> Vec<f32> {
    let mut y = vec![0.0; x.len() / 2];
    if half == 0 {
        return y;
    }
    let count = lines(half);
    y.par_chunks_mut(count * half).zip(x.par_chunks(count * half * 2)).for_each(|(y, x)| {
        vectorised(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(half).zip(x.chunks_exact(half * 2)) {
                    let (a, b) = x.split_at(half);
                    gate(y, a, b);
                }
            },
        );
    });
    y
}

// Functions of their own, since arguments are known not to overlap, which vector code needs.
#[inline(always)]
fn gate(out: &mut [f32], factor: &[f32], x: &[f32]) {
    for ((out, factor), x) in out.iter_mut().zip(factor).zip(x) {
        *out = factor * Gelu::value(*x);
    }
}

#[inline(always)]
fn gate_slope(out: &mut [f32], factor: &[f32], x: &[f32], gradient: &[f32]) {
    for (((out, factor), x), gradient) in out.iter_mut().zip(factor).zip(x).zip(gradient) {
        *out = gradient * factor * Gelu::slope(*x);
    }
}

/// The gradient of [`geglu`].
pub(super) fn geglu_backward(x: &[f32], gradient: &[f32], half: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    if half == 0 {
        return out;
    }
    let count = lines(half);
    out.par_chunks_mut(count * half * 2).zip(x.par_chunks(count * half * 2).zip(gradient.par_chunks(count * half))).for_each(
        |(out, (x, gradient))| {
            vectorised(
                #[inline(always)]
                || {
                    let pairs = x.chunks_exact(half * 2).zip(gradient.chunks_exact(half));
                    for (out, (x, gradient)) in out.chunks_exact_mut(half * 2).zip(pairs) {
                        let (a, b) = x.split_at(half);
                        let (da, db) = out.split_at_mut(half);
                        gate(da, gradient, b);
                        gate_slope(db, a, b, gradient);
                    }
                },
            );
        },
    );
    out
}

/// Softmax of lines of `width` elements, in place.
pub(super) fn softmax(values: &mut [f32], width: usize) {
    if width == 0 {
        return;
    }
    values.par_chunks_mut(lines(width) * width).for_each(|piece| softmax_lines(piece, width));
}

/// [`softmax`] on the calling thread.
pub(super) fn softmax_lines(values: &mut [f32], width: usize) {
    vectorised(
        #[inline(always)]
        || {
            for line in values.chunks_exact_mut(width) {
                softmax_line(line);
            }
        },
    );
}

#[inline(always)]
fn softmax_line(line: &mut [f32]) {
    let greatest = super::simd::greatest(line);
    for value in line.iter_mut() {
        *value = super::simd::exp(*value - greatest);
    }
    let scale = 1.0 / super::simd::sum(line);
    for value in line {
        *value *= scale;
    }
}

/// Turns the gradient `dp` of probabilities `p` into that of their logits, in place: `p (dp - Σ p dp)`.
pub(super) fn softmax_backward_lines(probabilities: &[f32], gradient: &mut [f32], width: usize) {
    vectorised(
        #[inline(always)]
        || {
            for (p, g) in probabilities.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
                let dot = super::simd::dot(p, g);
                for (g, p) in g.iter_mut().zip(p) {
                    *g = p * (*g - dot);
                }
            }
        },
    );
}

/// [`softmax_backward_lines`] over threads.
pub(super) fn softmax_backward(probabilities: &[f32], gradient: &[f32], width: usize) -> Vec<f32> {
    let mut out = gradient.to_vec();
    if width > 0 {
        let piece = lines(width) * width;
        out.par_chunks_mut(piece).zip(probabilities.par_chunks(piece)).for_each(|(out, p)| softmax_backward_lines(p, out, width));
    }
    out
}

/// Nearest-neighbour doubling of planes `[height, width]`.
pub(super) fn upsample(x: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len() * 4];
    if width == 0 {
        return out;
    }
    let count = lines(width * 4);
    out.par_chunks_mut(count * width * 4).zip(x.par_chunks(count * width)).for_each(|(out, x)| {
        for (pair, line) in out.chunks_exact_mut(width * 4).zip(x.chunks_exact(width)) {
            let (first, second) = pair.split_at_mut(width * 2);
            for (twin, value) in first.as_chunks_mut::<2>().0.iter_mut().zip(line) {
                *twin = [*value; 2];
            }
            second.copy_from_slice(first);
        }
    });
    out
}

/// The gradient of [`upsample`]: sums of 2 x 2 blocks. `width` is that of the small plane.
pub(super) fn upsample_backward(gradient: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; gradient.len() / 4];
    if width == 0 {
        return out;
    }
    let count = lines(width * 4);
    out.par_chunks_mut(count * width).zip(gradient.par_chunks(count * width * 4)).for_each(|(out, gradient)| {
        for (line, pair) in out.chunks_exact_mut(width).zip(gradient.chunks_exact(width * 4)) {
            let (first, second) = pair.split_at(width * 2);
            let twins = first.as_chunks::<2>().0.iter().zip(second.as_chunks::<2>().0);
            for (slot, (a, b)) in line.iter_mut().zip(twins) {
                *slot = (a[0] + a[1]) + (b[0] + b[1]);
            }
        }
    });
    out
}

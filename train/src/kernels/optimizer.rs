//! The optimiser step in one pass over the parameters.

use rayon::prelude::*;

use super::simd::vectorised;

/// Constants of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) rate: f64,
    pub(super) beta2: f64,
    pub(super) epsilon: f64,
    /// 1 - beta2^t.
    pub(super) bias_correction: f64,
}

/// `v = beta2 v + (1 - beta2) g²; w -= rate g / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)`, in place.
///
/// Scalars are prepared in float64 and rounded once, operations follow PyTorch's AdamW.
pub(super) fn adam(weight: &mut [f32], gradient: &[f32], average: &mut [f32], step: &Step) {
    const PIECE: usize = 1 << 14;
    let (keep, take) = (step.beta2 as f32, (1.0 - step.beta2) as f32);
    let (root, epsilon, rate) = (step.bias_correction.sqrt() as f32, step.epsilon as f32, -step.rate as f32);
    weight.par_chunks_mut(PIECE).zip(average.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE))).for_each(
        |(weight, (average, gradient))| {
            vectorised(
                #[inline(always)]
                || {
                    for (w, (v, g)) in weight.iter_mut().zip(average.iter_mut().zip(gradient)) {
                        *v = *v * keep + take * g * g;
                        *w += rate * g / (v.sqrt() / root + epsilon);
                    }
                },
            );
        },
    );
}

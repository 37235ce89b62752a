//! Weights of classifier-free guidance in the standard form (Ho and Salimans): `o = u + w (c - u)`.

use super::single;

/// The weight of CogVideoX' `use_dynamic_cfg` at a time: `1 + g (1 - cos(pi ((steps - time) / steps)^5)) / 2`, with the
/// number of inference steps, as diffusers computes it.
#[must_use]
pub fn dynamic_scale(scale: f64, steps: usize, time: f64) -> f64 {
    let share = (steps as f64 - time) / steps as f64;
    1.0 + scale * ((1.0 - (std::f64::consts::PI * share.powf(5.0)).cos()) / 2.0)
}

/// What a network that was distilled with its guidance is told of the weight: `width` sines and cosines of `1000 (w - 1)`, in
/// the float32 steps of diffusers' `get_guidance_scale_embedding`, whose roundings the sines of large angles show. Nothing for
/// a width under 4, which has no two frequencies.
#[must_use]
pub fn embedding(scale: f64, width: usize) -> Option<Vec<f32>> {
    let half = width / 2;
    let last = half.checked_sub(1).filter(|last| *last > 0)?;
    let weight = single(single(single(scale) - 1.0) * 1000.0);
    let decay = single(single(10_000f64.ln()) / last as f64);
    let angles: Vec<f64> = (0..half).map(|i| single(weight * single(single(i as f64 * -decay).exp()))).collect();
    let waves = angles.iter().map(|angle| angle.sin()).chain(angles.iter().map(|angle| angle.cos()));
    // An odd width ends in a zero.
    Some(waves.chain(std::iter::repeat(0.0)).take(width).map(|value| value as f32).collect())
}

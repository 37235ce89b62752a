//! Weights of classifier-free guidance in the standard form (Ho and Salimans): `o = u + w (c - u)`.

/// The weight of CogVideoX' `use_dynamic_cfg` at a time: `1 + g (1 - cos(pi ((steps - time) / steps)^5)) / 2`, with the
/// number of inference steps, as diffusers computes it.
#[must_use]
pub fn dynamic_scale(scale: f64, steps: usize, time: f64) -> f64 {
    let share = (steps as f64 - time) / steps as f64;
    1.0 + scale * ((1.0 - (std::f64::consts::PI * share.powf(5.0)).cos()) / 2.0)
}

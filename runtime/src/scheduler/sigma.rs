//! Noise levels as sigmas: interpolation between table entries, Karras' spacing, and back to times.

use crate::process::single;
use crate::process::spacing::linspace;

/// numpy's `interp` of a table at (possibly fractional) indices, clamped to its ends.
pub(super) fn interpolate(times: &[f64], table: &[f64]) -> Vec<f64> {
    let at = |time: f64| {
        let low = time.max(0.0).floor() as usize;
        match (table.get(low), table.get(low + 1)) {
            (Some(&a), Some(&b)) => (b - a) * (time.max(0.0) - low as f64) + a,
            _ => table.last().copied().unwrap_or_default(),
        }
    };
    times.iter().map(|&time| at(time)).collect()
}

/// `count` sigmas from `high` to `low`, evenly spaced in the seventh root (Karras et al., arXiv 2206.00364, rho = 7).
pub(super) fn karras(low: f64, high: f64, count: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let (low, high) = (low.powf(1.0 / RHO), high.powf(1.0 / RHO));
    linspace(0.0, 1.0, count).into_iter().map(|ramp| (high + ramp * (low - high)).powf(RHO)).collect()
}

/// `steps` sigmas of the straight path from 1 down, without its end, shifted towards the noise.
pub(super) fn straight(shift: f64, count: usize, steps: usize) -> Vec<f64> {
    let line = linspace(1.0, 1.0 / count as f64, steps + 1).into_iter().map(|alpha| 1.0 - alpha);
    let mut sigmas: Vec<f64> = line.map(|sigma| shift * sigma / (1.0 + (shift - 1.0) * sigma)).skip(1).collect();
    sigmas.reverse();
    sigmas
}

/// The (fractional) table index of a sigma, by its logarithm; the table rises.
pub(super) fn time_of(sigma: f64, table: &[f64]) -> f64 {
    let log = |index: usize| single(table.get(index).copied().unwrap_or(1.0).ln());
    let wanted = sigma.max(1e-10).ln();
    let below = table.partition_point(|&entry| single(entry.ln()) <= wanted);
    let low = below.saturating_sub(1).min(table.len().saturating_sub(2));
    let share = ((log(low) - wanted) / (log(low) - log(low + 1))).clamp(0.0, 1.0);
    (1.0 - share) * low as f64 + share * (low + 1) as f64
}

/// Sigmas with their terminal value, rounded to float32.
pub(super) fn terminated(sigmas: Vec<f64>, last: f64) -> Vec<f64> {
    sigmas.into_iter().chain([last]).map(single).collect()
}

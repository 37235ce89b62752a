//! diffusers' spacings of sampling times, with numpy's and torch's arithmetic.

use super::Rounding;

/// numpy's `arange(last, 0, -count / steps).round() - 1`, halves to even. Where rounding of the ratio gives numpy one step
/// too many, which would end at time -1, that step is left out.
#[must_use]
pub fn trailing(count: usize, last: usize, steps: usize) -> Vec<f64> {
    let (start, step) = (last as f64, -(count as f64 / steps as f64));
    let delta = (start + step) - start;
    let times = (0..steps).map(|i| (start + i as f64 * delta).round_ties_even() - 1.0);
    times.take_while(|&time| time >= 0.0).collect()
}

/// The places of `steps` among `count` times, from the first on, as evenly as latent consistency models take them: numpy's
/// `floor(linspace(0, count, steps, endpoint=False))`.
pub(crate) fn consistent(count: usize, steps: usize) -> impl Iterator<Item = usize> {
    let share = count as f64 / steps as f64;
    (0..steps).map(move |i| (i as f64 * share).floor() as usize)
}

/// `offset + i ratio` for `i = steps - 1 .. 0`.
pub(crate) fn leading(offset: usize, ratio: usize, steps: usize) -> Vec<f64> {
    (0..steps).rev().map(|i| (i * ratio + offset) as f64).collect()
}

/// numpy's `linspace`.
pub(crate) fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    if count < 2 {
        return vec![start; count];
    }
    let step = (stop - start) / (count - 1) as f64;
    let mut line: Vec<f64> = (0..count).map(|i| i as f64 * step + start).collect();
    line[count - 1] = stop;
    line
}

/// torch's `linspace`: from both ends to the middle, each value with one rounding.
pub(crate) fn torch_linspace(start: f64, stop: f64, count: usize, rounding: Rounding) -> Vec<f64> {
    let keep = |value| rounding.keep(value);
    let (start, stop) = (keep(start), keep(stop));
    let step = keep(keep(stop - start) / (count.max(2) - 1) as f64);
    let value = |i: usize| {
        if i < count / 2 || count == 1 { start + step * i as f64 } else { stop - step * (count - 1 - i) as f64 }
    };
    (0..count).map(|i| keep(value(i))).collect()
}

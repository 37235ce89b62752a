//! The data: eight Gaussians on a circle, some of them rare, so that a student that drops modes is seen to.

use dmdx_train::session::Draws;

/// Radius of the circle.
pub const RADIUS: f64 = 1.4;

/// Standard deviation of every Gaussian.
pub const DEVIATION: f64 = 0.12;

/// Sixteenths of the whole that each holds.
pub const SIXTEENTHS: [u32; 8] = [4, 1, 3, 1, 2, 1, 3, 1];

/// The share of a mode.
pub fn weight(mode: usize) -> f64 {
    f64::from(SIXTEENTHS[mode]) / 16.0
}

/// The centres, counter-clockwise from the right.
pub fn centres() -> [[f64; 2]; 8] {
    std::array::from_fn(|mode| {
        let angle = std::f64::consts::TAU * mode as f64 / 8.0;
        [RADIUS * angle.cos(), RADIUS * angle.sin()]
    })
}

/// The density of the mixture after blurring by `sigma`: exact, since variances add.
pub fn density([x, y]: [f64; 2], sigma: f64) -> f64 {
    let variance = DEVIATION * DEVIATION + sigma * sigma;
    let of = |(mode, [a, b]): (usize, [f64; 2])| {
        weight(mode) * (-((x - a).powi(2) + (y - b).powi(2)) / (2.0 * variance)).exp() / (std::f64::consts::TAU * variance)
    };
    centres().into_iter().enumerate().map(of).sum()
}

/// `count` points of the mixture, row by row.
pub fn samples(draws: &mut Draws, count: usize) -> Vec<f32> {
    let owners: Vec<usize> = (0..8).flat_map(|mode| std::iter::repeat_n(mode, SIXTEENTHS[mode] as usize)).collect();
    let picked = draws.integers(count, 0, 16);
    let noise = draws.normal(&[count, 2]);
    let centres = centres();
    let point = |(index, noise): (&i64, &[f32])| {
        let [x, y] = centres[owners[*index as usize]];
        [(x + DEVIATION * f64::from(noise[0])) as f32, (y + DEVIATION * f64::from(noise[1])) as f32]
    };
    picked.iter().zip(noise.chunks(2)).flat_map(point).collect()
}

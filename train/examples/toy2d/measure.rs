//! Exact measures of a sampler: its density on a grid against the mixture's formula.

use dmdx_train::TrainError;

use crate::mixture::{DEVIATION, SIXTEENTHS, centres, density, weight};

/// The grid covers the square up to here in both directions.
const EXTENT: f64 = 3.2;

/// Cells along a side.
pub const CELLS: usize = 256;

/// Side of a cell.
const SIDE: f64 = 2.0 * EXTENT / CELLS as f64;

/// What both densities are blurred by before they are compared, so that a narrow miss is no total one.
pub const BLUR: f64 = 0.15;

/// Densities below this count as this in divergences.
const FLOOR: f64 = 1e-12;

/// How far a sampler is from the mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Total variation of the blurred densities, half the integral of their distance.
    pub tv: f64,
    /// KL(real, fake) of the blurred densities.
    pub forward: f64,
    /// KL(fake, real) of the blurred densities.
    pub reverse: f64,
    /// The share of points within three standard deviations of a mode.
    pub near: f64,
    /// Total variation of the shares of the modes, every point counted for the nearest.
    pub weights: f64,
    /// Modes that have more than a quarter of their points within three standard deviations.
    pub modes: usize,
}

/// `2^exponent` quasi-random normal points: the first two dimensions of the Sobol sequence through the Box-Muller map.
pub fn noises(exponent: u32) -> Vec<f32> {
    // Direction numbers: those of the first dimension are powers of two, those of the second follow from x + 1.
    let mut second = [1u32 << 31; 32];
    for bit in 1..32 {
        second[bit] = second[bit - 1] ^ (second[bit - 1] >> 1);
    }
    let point = |index: u32| {
        let [mut u, mut v] = [0u32; 2];
        for (bit, direction) in second.iter().enumerate().filter(|(bit, _)| (index >> bit) & 1 == 1) {
            u ^= 1 << (31 - bit);
            v ^= direction;
        }
        let [u, v] = [u, v].map(|bits| (f64::from(bits) + 0.5) / 4_294_967_296.0);
        let (radius, angle) = ((-2.0 * u.ln()).sqrt(), std::f64::consts::TAU * v);
        [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
    };
    (0..1u32 << exponent).flat_map(point).collect()
}

/// The density of points `[x, y, x, y, ..]` on the grid, row by row from below, blurred by [`BLUR`]; points beyond the grid
/// are missing from it.
pub fn blurred(points: &[f32]) -> Vec<f64> {
    let mut grid = vec![0.0; CELLS * CELLS];
    let share = 1.0 / ((points.len() / 2) as f64 * SIDE * SIDE);
    for point in points.chunks(2) {
        // Between the four nearest centres of cells.
        let place = |value: f32| (f64::from(value) + EXTENT) / SIDE - 0.5;
        let (x, y) = (place(point[0]), place(point[1]));
        let (left, below) = (x.floor(), y.floor());
        for (column, of_column) in [(left, left + 1.0 - x), (left + 1.0, x - left)] {
            for (row, of_row) in [(below, below + 1.0 - y), (below + 1.0, y - below)] {
                let inside = |index: f64| (0.0..CELLS as f64).contains(&index);
                if inside(column) && inside(row) {
                    grid[row as usize * CELLS + column as usize] += share * of_column * of_row;
                }
            }
        }
    }
    let reach = (5.0 * BLUR / SIDE).ceil() as isize;
    let kernel: Vec<f64> = (-reach..=reach).map(|step| (-(step as f64 * SIDE / BLUR).powi(2) / 2.0).exp()).collect();
    let total: f64 = kernel.iter().sum();
    let along = |grid: &[f64], stride: usize, start: &dyn Fn(usize) -> usize| {
        let mut result = vec![0.0; grid.len()];
        for line in 0..CELLS {
            let first = start(line);
            for cell in 0..CELLS {
                let value = grid[first + cell * stride] / total;
                if value > 0.0 {
                    for (step, factor) in (-reach..=reach).zip(&kernel) {
                        if let Some(target) = cell.checked_add_signed(step).filter(|target| *target < CELLS) {
                            result[first + target * stride] += value * factor;
                        }
                    }
                }
            }
        }
        result
    };
    let rows = along(&grid, 1, &|line| line * CELLS);
    along(&rows, CELLS, &|line| line)
}

/// The mixture's own blurred density on the grid.
pub fn truth(sigma: f64) -> Vec<f64> {
    let centre = |cell: usize| -EXTENT + (cell as f64 + 0.5) * SIDE;
    (0..CELLS * CELLS).map(|cell| density([centre(cell % CELLS), centre(cell / CELLS)], sigma)).collect()
}

/// Everything about a sampler's points.
///
/// # Errors
/// When a point is not finite: such a sampler has no density.
pub fn score(points: &[f32]) -> Result<Score, TrainError> {
    if points.iter().any(|value| !value.is_finite()) {
        return Err(TrainError::component("scoring a student", "its points are not finite"));
    }
    let (fake, real) = (blurred(points), truth(BLUR));
    let area = SIDE * SIDE;
    // What is beyond the grid is where the mixture is not.
    let beyond = (1.0 - fake.iter().sum::<f64>() * area).max(0.0);
    let distance: f64 = fake.iter().zip(&real).map(|(q, p)| (q - p).abs()).sum::<f64>() * area;
    let divergence = |a: &[f64], b: &[f64]| -> f64 {
        let terms = a.iter().zip(b).map(|(a, b)| if *a > 0.0 { a * (a.max(FLOOR) / b.max(FLOOR)).ln() } else { 0.0 });
        terms.sum::<f64>() * area
    };
    let (mut nearest, mut near) = ([0.0; 8], [0.0; 8]);
    let share = 2.0 / points.len() as f64;
    for point in points.chunks(2) {
        let squares = centres().map(|[x, y]| (f64::from(point[0]) - x).powi(2) + (f64::from(point[1]) - y).powi(2));
        let (mode, square) = squares
            .into_iter()
            .enumerate()
            .fold((0, f64::INFINITY), |best, (mode, square)| if square < best.1 { (mode, square) } else { best });
        nearest[mode] += share;
        if square < (3.0 * DEVIATION).powi(2) {
            near[mode] += share;
        }
    }
    let modes = 0..SIXTEENTHS.len();
    Ok(Score {
        tv: 0.5 * (distance + beyond),
        forward: divergence(&real, &fake),
        reverse: divergence(&fake, &real),
        near: near.iter().sum(),
        weights: 0.5 * modes.clone().map(|mode| (nearest[mode] - weight(mode)).abs()).sum::<f64>(),
        modes: modes.filter(|&mode| near[mode] > 0.25 * weight(mode)).count(),
    })
}

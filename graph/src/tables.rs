//! Tables that some operations are made of, so that every engine takes them from one place: interpolation weights,
//! relative position buckets, sinusoidal positions.

use std::f64::consts::LN_2;

use crate::ir::Interpolation;

/// Sharpness of the cubic convolution in `torch.nn.functional.interpolate`.
const CUBIC: f64 = -0.75;
/// The longest period of sinusoidal positions.
const MAX_PERIOD: f64 = 10_000.0;

/// The matrix `[to, from]`, row-major, by which one axis of [`Op::Resize`](crate::Op::Resize) is multiplied. Pixel centres
/// are aligned, neighbours beyond the edge are the edge.
pub fn resize(from: usize, to: usize, mode: Interpolation) -> Vec<f64> {
    let mut matrix = vec![0.0; from * to];
    let last = from.saturating_sub(1) as f64;
    for (row, weights) in matrix.chunks_mut(from.max(1)).enumerate() {
        let position = (row as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
        let mut add = |index: f64, weight: f64| weights[index.clamp(0.0, last) as usize] += weight;
        match mode {
            Interpolation::Bilinear => {
                // Only the linear mode clamps the position itself.
                let position = position.max(0.0);
                let (below, share) = (position.floor(), position.fract());
                add(below, 1.0 - share);
                add(below + 1.0, share);
            }
            Interpolation::Bicubic => {
                let (below, share) = (position.floor(), position - position.floor());
                add(below - 1.0, outer_cubic(share + 1.0));
                add(below, inner_cubic(share));
                add(below + 1.0, inner_cubic(1.0 - share));
                add(below + 2.0, outer_cubic(2.0 - share));
            }
        }
    }
    matrix
}

/// The cubic kernel at a distance of at most 1.
fn inner_cubic(x: f64) -> f64 {
    ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
}

/// The cubic kernel at a distance from 1 to 2.
fn outer_cubic(x: f64) -> f64 {
    ((CUBIC * x - 5.0 * CUBIC) * x + 8.0 * CUBIC) * x - 4.0 * CUBIC
}

/// T5's bucket of the distance `key - query` (`T5Attention._relative_position_bucket`, whose logarithms are f32).
pub fn bucket(distance: i64, buckets: usize, max_distance: usize, bidirectional: bool) -> usize {
    let (count, first) = match bidirectional {
        true => (buckets / 2, if distance > 0 { buckets / 2 } else { 0 }),
        false => (buckets, 0),
    };
    let distance = if bidirectional { distance.unsigned_abs() as usize } else { distance.min(0).unsigned_abs() as usize };
    let exact = count / 2;
    if distance < exact {
        return first + distance;
    }
    let ratio = f64::from((f64::from(distance as f32 / exact as f32)).ln() as f32);
    let span = (max_distance as f64 / exact as f64).ln() as f32;
    let beyond = (ratio as f32 / span) * (count - exact) as f32;
    first + (exact + beyond as usize).min(count - 1)
}

/// [`bucket`] of every pair, row-major `[query, key]`.
pub fn buckets(length: usize, buckets: usize, max_distance: usize, bidirectional: bool) -> Vec<i64> {
    let span = length as i64;
    let by_distance: Vec<i64> =
        (1 - span..span).map(|distance| bucket(distance, buckets, max_distance, bidirectional) as i64).collect();
    (0..length).flat_map(|query| &by_distance[length - 1 - query..2 * length - 1 - query]).copied().collect()
}

/// The rows of a `side * side` table that [`Op::CropTable`](crate::Op::CropTable) keeps; both sizes are at most `side`.
pub fn cropped(side: usize, height: usize, width: usize) -> Vec<usize> {
    let (top, left) = ((side - height) / 2, (side - width) / 2);
    (top..top + height).flat_map(|row| (left..left + width).map(move |column| row * side + column)).collect()
}

/// The rows of [`Op::SincosTable3d`](crate::Op::SincosTable3d), `[frames * height * width, dim]`: time in the first
/// quarter, then rows' and columns' share of the rest, each as sines and cosines.
///
/// As diffusers, the grid is f32, angles are f64, and diffusers' first spatial half is the columns'.
pub fn sincos_3d(dim: usize, [frames, height, width]: [usize; 3], spatial_scale: f64, temporal_scale: f64) -> Vec<f64> {
    let time = dim / 4;
    let side = (dim - time) / 2;
    let along = |count: usize, scale: f64, width: usize| -> Vec<Vec<f64>> {
        (0..count).map(|i| sincos(f64::from(i as f32 / scale as f32), width)).collect()
    };
    let (times, rows, columns) =
        (along(frames, temporal_scale, time), along(height, spatial_scale, side), along(width, spatial_scale, side));
    let mut table = Vec::with_capacity(frames * height * width * dim);
    for time in &times {
        for row in &rows {
            for column in &columns {
                table.extend(time.iter().chain(column).chain(row));
            }
        }
    }
    table
}

/// Sines, then cosines, of one position.
fn sincos(position: f64, width: usize) -> Vec<f64> {
    let half = width / 2;
    let angles = || (0..half).map(|i| position * (1.0 / MAX_PERIOD.powf(i as f64 / half as f64)));
    angles().map(f64::sin).chain(angles().map(f64::cos)).collect()
}

/// Steps of the table of powers in [`torch_exp`] from 1 to 2.
const POWERS: f32 = 128.0;

/// The exponential of f32 as PyTorch's kernel on x86 CPUs computes it, found by comparing: a table of powers of two and a
/// polynomial of degree two (Tang's method), which misses the nearest f32 in one of a hundred values by one unit in the last
/// place. Times a timestep near 1000 that unit is 6e-5.
fn torch_exp(x: f32) -> f32 {
    // ln 2 / 128 in two parts; products with the first, of nine bits, are exact.
    const HIGH: f32 = 355.0 / 65_536.0;
    const LOW: f32 = (LN_2 / POWERS as f64 - HIGH as f64) as f32;
    if !(-80.0..=80.0).contains(&x) {
        return f64::from(x).exp() as f32;
    }
    let steps = (x * (f64::from(POWERS) / LN_2) as f32).round_ties_even();
    let rest = (x - steps * HIGH) - steps * LOW;
    let polynomial = rest + 0.5 * (rest * rest);
    let power = (f64::from(steps.rem_euclid(POWERS)) / f64::from(POWERS)).exp2();
    let (high, low) = (power as f32, (power - f64::from(power as f32)) as f32);
    (high + (low + high * polynomial)) * (steps / POWERS).floor().exp2()
}

/// The frequencies of [`Op::TimestepEmbed`](crate::Op::TimestepEmbed), rounded to f32 at each step as diffusers'
/// `get_timestep_embedding` computes them.
pub fn frequencies(half: usize, freq_shift: f64, max_period: f64) -> Vec<f32> {
    let log_period = -(max_period.ln()) as f32;
    let divisor = (half as f64 - freq_shift) as f32;
    (0..half).map(|i| torch_exp(log_period * i as f32 / divisor)).collect()
}

#[cfg(test)]
mod tests {
    use super::frequencies;

    /// `torch.exp` of torch 2.9.1 at places where its result is not the nearest f32: (count, index, bits).
    const TORCH: [(usize, usize, u32); 8] = [
        (128, 12, 0x3ed7_e89b),
        (128, 106, 0x39ff_4fad),
        (160, 2, 0x3f64_2906),
        (960, 51, 0x3f1c_f13a),
        (960, 81, 0x3eeb_6155),
        (1536, 23, 0x3f5f_052a),
        (1536, 611, 0x3cd2_0311),
        (1536, 686, 0x3c85_f251),
    ];

    #[test]
    fn frequencies_are_those_of_torch_to_the_bit() {
        for (count, index, bits) in TORCH {
            assert_eq!(frequencies(count, 0.0, 1e4)[index].to_bits(), bits, "{count}, {index}");
        }
    }
}

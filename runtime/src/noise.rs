//! The starting noise of generation, the same in training, scoring and running.
//!
//! Picture `index` of seed `seed` draws from its own ChaCha stream, so that a picture does not depend on how many others
//! are made with it, in which order, or in what batches.

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Error, Tensor};

/// Most values drawn at once: a manifest may be a stranger's.
const MOST_VALUES: usize = 1 << 30;

/// [`standard_normal`] in words, for model cards: picture `i` of seed `s`.
pub const RULE: &str = "ChaCha12 (`rand_chacha`, `seed_from_u64(s)`, stream `i`), each value by `rand_distr::StandardNormal` as f64, \
                        rounded to f32, in row-major order";

/// [`between_steps`] in words.
pub const RULE_BETWEEN_STEPS: &str = "that of stream `i xor ((k + 1) << 48)` after step `k`, counted from 0";

/// `count` standard normal values of picture `index`: ChaCha12 seeded by `seed_from_u64(seed)`, stream `index`, each value
/// drawn as `f64` by `rand_distr::StandardNormal` and rounded to `f32`.
#[must_use]
pub fn standard_normal(seed: u64, index: u64, count: usize) -> Vec<f32> {
    let mut generator = ChaCha12Rng::seed_from_u64(seed);
    generator.set_stream(index);
    let mut draw = || -> f64 { StandardNormal.sample(&mut generator) };
    (0..count).map(|_| draw() as f32).collect()
}

/// The fresh noise that picture `index` is given after step `step`, counted from 0, by a generator that draws between its
/// steps: of a stream that no picture begins with.
#[must_use]
pub fn between_steps(seed: u64, index: u64, step: usize, count: usize) -> Vec<f32> {
    standard_normal(seed, index ^ (step as u64 + 1) << 48, count)
}

/// The noise of `count` pictures from `first` on, `[count, ..shape]`.
///
/// # Errors
/// [`Error::Shape`] if that is more than 2^30 values.
pub fn latents(seed: u64, first: u64, count: usize, shape: &[usize]) -> Result<Tensor, Error> {
    let one = shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|size| size.checked_mul(count).is_some_and(|all| all <= MOST_VALUES))
        .ok_or_else(|| {
            Error::Shape(format!(
                "noise for {count} latents of shape {shape:?} is more than {MOST_VALUES} values; ask for fewer pictures"
            ))
        })?;
    let values = (0..count as u64).flat_map(|i| standard_normal(seed, first.wrapping_add(i), one)).collect();
    Tensor::f32([&[count], shape].concat(), values)
}

//! Random numbers that are a function of (seed, phase, iteration).
//!
//! The generator is counter-based: the key of a ChaCha8 stream is the SHA-256 of the three, and the numbers of an
//! iteration are the beginning of that stream. There is no generator state to carry from one iteration to the next, so
//! (seed, phase, iteration) *is* the saved random state, and, since the batch's indices are drawn from it too, the data
//! cursor.

use dmdx_graph::store::hash::Hasher;
use rand::RngCore;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// The stream of one iteration. Draws come in the order in which they are asked for.
#[derive(Clone, Debug)]
pub struct Draws {
    stream: ChaCha8Rng,
}

impl Draws {
    /// The stream of iteration `iteration` of `phase` under `seed`.
    pub fn new(seed: u64, phase: &str, iteration: u64) -> Self {
        let mut hash = Hasher::new();
        hash.update(b"dmdx draws 1");
        hash.update(seed.to_le_bytes());
        hash.text(phase);
        hash.update(iteration.to_le_bytes());
        Self { stream: ChaCha8Rng::from_seed(hash.finish()) }
    }

    /// Independent standard normal values, as many as the product of `shape`.
    pub fn normal(&mut self, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        (0..count).map(|_| StandardNormal.sample(&mut self.stream)).collect()
    }

    /// `count` values uniform in [0, 1), each a multiple of 2⁻²⁴.
    pub fn uniform(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.stream.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)).collect()
    }

    /// `count` integers uniform in `low..high` (`high` is left out); all `low` where that range is empty.
    pub fn integers(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        let width = high.saturating_sub(low).max(1) as u128;
        let one = |word: u64| low.saturating_add(((u128::from(word) * width) >> 64) as i64);
        (0..count).map(|_| one(self.stream.next_u64())).collect()
    }
}

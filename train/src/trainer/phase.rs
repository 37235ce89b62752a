//! What the trainer asks of a training phase, of it.

use crate::error::TrainError;
use crate::session::logs::Metrics;
use crate::store::NamedRoles;

/// One training phase (ADP, ADM, …): the trainer drives it, the method implements it.
///
/// All randomness of iteration `index` comes from [`crate::session::Draws`] of (seed, phase, `index`), so that an
/// iteration depends on nothing but the state and its index, and a resumed run repeats the bytes of an uninterrupted one.
pub trait Phase {
    /// The phase's name: the key of its checkpoints, metrics and draws.
    fn name(&self) -> &'static str;

    /// How many iterations the phase has.
    fn iterations(&self) -> u64;

    /// Runs iteration `index` (from 0) and returns its numbers.
    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError>;

    /// Samples of one iteration's batch.
    fn samples(&self) -> usize;

    /// Latents `[count, ..latent_shape]` that the student draws as it stands, from noises of that shape and prompts by id.
    /// `first` is the number of the first picture among those that are drawn, a multiple of what goes through a network
    /// together. Nothing that is trained depends on it.
    fn draw(&self, first: usize, noise: &[f32], prompts: &[u32]) -> Result<Vec<f32>, TrainError>;

    /// Everything that the next iteration depends on, besides the recipe and the data: every trained role under the name
    /// that its tensors begin with in checkpoints. The names and what they hold stay the same from iteration to iteration.
    fn trained_roles(&mut self) -> NamedRoles<'_>;
}

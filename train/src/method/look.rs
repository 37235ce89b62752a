//! Looking at the student while it is trained.

use crate::data::StoredConditions;
use crate::diffusion::Generator;
use crate::error::TrainError;
use crate::module::Trained;
use crate::teacher::{Portion, student_latents};

/// What draws with a student, but for its weights.
pub(super) struct Look {
    /// How it walks.
    pub student: Generator,
    /// Its guidance weight, where it is guided.
    pub weight: Option<f64>,
    /// The conditions of the recipe's prompts.
    pub conditions: StoredConditions,
    /// Of the noises that it draws on its way.
    pub seed: u64,
    /// Shape of one latent.
    pub latent_shape: Vec<usize>,
}

impl Look {
    /// Latents of the generator as it is now, from `first` on.
    pub(super) fn draw(&self, generator: &Trained, first: usize, noise: &[f32], prompts: &[u32]) -> Result<Vec<f32>, TrainError> {
        let student = self.student.with_module(generator.module.frozen());
        let portion = Portion { first, latent_shape: &self.latent_shape, noise, prompts };
        student_latents(&student, &self.conditions, self.weight, self.seed, &portion)
    }
}

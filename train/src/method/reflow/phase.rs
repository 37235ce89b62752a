//! Reflow as a phase of the trainer: draws, updates, metrics, roles.

use super::section::Reflow;
use super::step::{self, Batch};
use crate::data::{PairStore, StoredConditions};
use crate::diffusion::{Denoiser, Generator};
use crate::error::TrainError;
use crate::method::draw::Batches;
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::{Trained, Value};
use crate::recipe::Section;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::NamedRoles;
use crate::teacher::{Portion, student_latents};
use crate::trainer::Phase;

/// Everything that reflow trains and reads.
pub struct ReflowPhase {
    section: Reflow,
    seed: u64,
    batches: Batches,
    pairs: PairStore,
    conditions: StoredConditions,
    /// The teacher's network on the line between noise and latent.
    line: Denoiser,
    /// How the student walks, and its guidance weight, when it is looked at.
    student: Generator,
    student_weight: Option<f64>,
    generator: Trained,
}

impl ReflowPhase {
    /// The phase of a recipe.
    ///
    /// # Errors
    /// When the recipe's student cannot be on the line.
    pub fn new(
        section: Reflow,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        pairs: PairStore,
    ) -> Result<Self, TrainError> {
        let student = materials.student(Reflow::NAME)?;
        Ok(Self {
            seed: materials.recipe.run.seed,
            batches: materials.batches(section.batch),
            pairs,
            conditions: conditions.clone(),
            line: materials.teacher.denoiser.with_process(student.rollout().process().clone().into()),
            student,
            student_weight: materials.student_weight(),
            generator: materials.generator(section.lr_generator, None)?,
            section,
        })
    }

    /// Batch and line times of one iteration.
    fn drawn(&self, index: u64) -> Result<(Batch, Vec<f32>), TrainError> {
        let (samples, shape) = (self.batches.samples, self.batches.shape());
        let mut draws = Draws::new(self.seed, Reflow::NAME, index);
        let indices = draws.integers(samples, 0, self.pairs.len() as i64);
        let pairs = self.pairs.batch(&indices)?;
        let prompts: Vec<usize> = pairs.prompts.iter().map(|&prompt| prompt as usize).collect();
        let batch = Batch {
            x_0: Value::float(pairs.latents, &shape, &self.batches.device)?,
            x_t: Value::float(pairs.noise, &shape, &self.batches.device)?,
            condition: self.conditions.conditional(&prompts)?,
        };
        Ok((batch, draws.uniform(samples)))
    }
}

impl Phase for ReflowPhase {
    fn name(&self) -> &'static str {
        Reflow::NAME
    }

    fn iterations(&self) -> u64 {
        self.section.iterations
    }

    fn samples(&self) -> usize {
        self.batches.samples
    }

    fn draw(&self, first: usize, noise: &[f32], prompts: &[u32]) -> Result<Vec<f32>, TrainError> {
        let student = self.student.with_module(self.generator.module.frozen());
        let portion = Portion { first, latent_shape: &self.batches.latent_shape, noise, prompts };
        student_latents(&student, &self.conditions, self.student_weight, self.seed, &portion)
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let (batch, s) = self.drawn(index)?;
        let roles = step::Roles { generator: &self.generator.module, line: &self.line };
        let made = step::step(&roles, &batch, &s)?;
        let mut metrics = Metrics::new();
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        metrics::update(&mut metrics, "generator", &self.generator, &made.gradients)?;
        self.generator.update(made.gradients);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![(GENERATOR, &mut self.generator)]
    }
}

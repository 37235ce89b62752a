//! Reflow as a phase of the trainer: draws, updates, metrics, roles.

use super::section::Reflow;
use super::step;
use crate::data::{PairStore, StoredConditions};
use crate::diffusion::Denoiser;
use crate::error::TrainError;
use crate::method::draw::Batches;
use crate::method::look::Look;
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::Trained;
use crate::recipe::Section;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::NamedRoles;
use crate::trainer::Phase;

/// Everything that reflow trains and reads.
pub struct ReflowPhase {
    section: Reflow,
    batches: Batches,
    pairs: PairStore,
    /// The teacher's network on the line between noise and latent.
    line: Denoiser,
    look: Look,
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
        let look = materials.look(Reflow::NAME, conditions)?;
        Ok(Self {
            batches: materials.batches(section.batch),
            pairs,
            line: materials.teacher.denoiser.with_process(look.student.rollout().process().clone().into()),
            look,
            generator: materials.generator(section.lr_generator, None)?,
            section,
        })
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
        self.look.draw(&self.generator, first, noise, prompts)
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let mut draws = Draws::new(self.look.seed, Reflow::NAME, index);
        let indices = draws.integers(self.batches.samples, 0, self.pairs.len() as i64);
        let batch = self.batches.pairs(&self.pairs, &self.look.conditions, &indices)?;
        let s = draws.uniform(self.batches.samples);
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

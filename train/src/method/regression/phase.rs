//! The regression as a phase of the trainer: draws, updates, metrics, roles.

use super::perceptual::Perceptual;
use super::section::Regression;
use super::step::{self, Batch, Roles};
use crate::data::{PairStore, StoredConditions};
use crate::discriminator::Decoder;
use crate::error::TrainError;
use crate::method::draw::Batches;
use crate::method::look::Look;
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::Trained;
use crate::recipe::Section;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::{NamedRoles, StoredState};
use crate::trainer::Phase;

/// Everything that the regression trains and reads.
pub struct RegressionPhase {
    section: Regression,
    batches: Batches,
    pairs: PairStore,
    look: Look,
    generator: Trained,
    pixel: Option<(Decoder, Perceptual)>,
}

impl RegressionPhase {
    /// The phase of a recipe, from the generator of the phase before if there is one.
    ///
    /// # Errors
    /// When the perceptual network cannot be used, or the state does not fit.
    pub fn new(
        section: Regression,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        (previous, pairs): (Option<&StoredState>, PairStore),
    ) -> Result<Self, TrainError> {
        let perceptual = materials.perceptual(&section)?;
        Ok(Self {
            batches: materials.batches(section.batch),
            pairs,
            look: materials.look(Regression::NAME, conditions)?,
            generator: materials.generator(section.lr_generator, previous)?,
            pixel: perceptual.map(|perceptual| (materials.teacher.decoder.clone(), perceptual)),
            section,
        })
    }

    fn drawn(&self, index: u64) -> Result<Batch, TrainError> {
        let mut draws = Draws::new(self.look.seed, Regression::NAME, index);
        let indices = draws.integers(self.batches.samples, 0, self.pairs.len() as i64);
        let ([x_0, x_t], prompts) = self.batches.prompted_pairs(&self.pairs, &indices)?;
        Ok(Batch { x_0, x_t, conditions: self.look.conditions.pick(&prompts)? })
    }
}

impl Phase for RegressionPhase {
    fn name(&self) -> &'static str {
        Regression::NAME
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
        let batch = self.drawn(index)?;
        let roles = Roles {
            generator: &self.generator.module,
            student: &self.look.student,
            pixel: self.pixel.as_ref().map(|(decoder, perceptual)| (decoder, perceptual)),
        };
        let made = step::step(&roles, &batch)?;
        let mut metrics = Metrics::new();
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        if let Some(pixels) = &made.pixels {
            metrics::brightness(&mut metrics, &pixels.fake)?;
        }
        metrics::update(&mut metrics, "generator", &self.generator, &made.gradients)?;
        self.generator.update(made.gradients);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![(GENERATOR, &mut self.generator)]
    }
}

//! DMD as a phase of the trainer: draws, updates, metrics, roles.

use super::section::Dmd;
use super::step;
use crate::data::StoredConditions;
use crate::diffusion::Denoiser;
use crate::error::TrainError;
use crate::method::look::Look;
use crate::method::matching::{Matching, Scored, train_fake_score};
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::Trained;
use crate::recipe::Section;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::{NamedRoles, StoredState};
use crate::trainer::Phase;

/// Everything that DMD trains and reads.
pub struct DmdPhase {
    section: Dmd,
    matching: Matching,
    teacher: Denoiser,
    look: Look,
    generator: Trained,
    fake_score: Trained,
}

impl DmdPhase {
    /// The phase of a recipe, from the generator of the phase before if there is one.
    ///
    /// # Errors
    /// When the recipe's times are not the teacher's, or the state does not fit.
    pub fn new(
        section: Dmd,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        previous: Option<&StoredState>,
    ) -> Result<Self, TrainError> {
        let process = materials.teacher.denoiser.process.coefficients();
        let latest = materials.time(format!("{}.t_max", Dmd::NAME), section.t_max)?;
        Ok(Self {
            matching: Matching {
                batches: materials.batches(section.batch),
                guidance: materials.recipe.teacher.guidance,
                guidance_offset: materials.recipe.student.guidance_offset,
                guidance_draw: section.guidance_draw,
                fake_train_source: section.fake_train_source,
                ttur: section.ttur,
                times: [process.thousandths(section.t_min), latest],
            },
            teacher: materials.teacher.denoiser.clone(),
            look: materials.look(Dmd::NAME, conditions)?,
            generator: materials.generator(section.lr_generator, previous)?,
            fake_score: materials.fake_score(section.lr_fake)?,
            section,
        })
    }
}

impl Phase for DmdPhase {
    fn name(&self) -> &'static str {
        Dmd::NAME
    }

    fn iterations(&self) -> u64 {
        self.section.iterations
    }

    fn samples(&self) -> usize {
        self.matching.batches.samples
    }

    fn draw(&self, first: usize, noise: &[f32], prompts: &[u32]) -> Result<Vec<f32>, TrainError> {
        self.look.draw(&self.generator, first, noise, prompts)
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let mut draws = Draws::new(self.look.seed, Dmd::NAME, index);
        let mut metrics = Metrics::new();
        let (for_fake, (prompts, for_generator)) = self.matching.draw(&mut draws, &self.teacher, &self.look.student)?;
        let others = (&self.generator.module, &self.look.student, &self.teacher);
        train_fake_score(&mut self.fake_score, others, &self.look.conditions, &for_fake, &mut metrics)?;
        let roles = Scored {
            generator: &self.generator.module,
            student: &self.look.student,
            fake_score: &self.fake_score.module,
            teacher: &self.teacher,
        };
        let made = step::generator_step(&roles, &self.look.conditions.pick(&prompts)?, &for_generator)?;
        metrics.insert("loss_generator".into(), made.loss);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        metrics::guidance(&mut metrics, &for_generator.weights);
        metrics::update(&mut metrics, "generator", &self.generator, &made.gradients)?;
        self.generator.update(made.gradients);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![(GENERATOR, &mut self.generator), ("fake_score", &mut self.fake_score)]
    }
}

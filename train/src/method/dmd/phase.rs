//! DMD as a phase of the trainer: draws, updates, metrics, roles.

use super::section::Dmd;
use super::step;
use crate::data::StoredConditions;
use crate::diffusion::{Denoiser, Generator};
use crate::error::TrainError;
use crate::method::matching::{Matching, Scored, train_fake_score};
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::Trained;
use crate::recipe::Section;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::{NamedRoles, StoredState};
use crate::teacher::{Portion, student_latents};
use crate::trainer::Phase;

/// Everything that DMD trains and reads.
pub struct DmdPhase {
    section: Dmd,
    seed: u64,
    matching: Matching,
    conditions: StoredConditions,
    teacher: Denoiser,
    student: Generator,
    /// Its guidance weight when it is looked at.
    student_weight: Option<f64>,
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
        let latest = process.last_time();
        if process.thousandths(section.t_max) > latest {
            let reason = format!("is {}, but the teacher's noise process ends at {latest}", section.t_max);
            return Err(TrainError::recipe("dmd.t_max", reason));
        }
        Ok(Self {
            seed: materials.recipe.run.seed,
            matching: Matching {
                batches: materials.batches(section.batch),
                guidance: materials.recipe.teacher.guidance,
                guidance_offset: materials.recipe.student.guidance_offset,
                guidance_draw: section.guidance_draw,
                fake_train_source: section.fake_train_source,
                ttur: section.ttur,
                times: [process.thousandths(section.t_min), process.thousandths(section.t_max)],
            },
            conditions: conditions.clone(),
            teacher: materials.teacher.denoiser.clone(),
            student: materials.student(Dmd::NAME)?,
            student_weight: materials.student_weight(),
            generator: materials.generator(section.lr_generator, previous)?,
            fake_score: materials.fake_score(section.lr_fake),
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
        let student = self.student.with_module(self.generator.module.frozen());
        let portion = Portion { first, latent_shape: &self.matching.batches.latent_shape, noise, prompts };
        student_latents(&student, &self.conditions, self.student_weight, self.seed, &portion)
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let mut draws = Draws::new(self.seed, Dmd::NAME, index);
        let mut metrics = Metrics::new();
        let (for_fake, (prompts, for_generator)) = self.matching.draw(&mut draws, &self.teacher, &self.student)?;
        let others = (&self.generator.module, &self.student, &self.teacher);
        train_fake_score(&mut self.fake_score, others, &self.conditions, &for_fake, &mut metrics)?;
        let roles = Scored {
            generator: &self.generator.module,
            student: &self.student,
            fake_score: &self.fake_score.module,
            teacher: &self.teacher,
        };
        let made = step::generator_step(&roles, &self.conditions.pick(&prompts)?, &for_generator)?;
        metrics.insert("loss_generator".into(), made.loss);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        let weights = &for_generator.weights;
        metrics.insert("guidance_weight".into(), weights.iter().sum::<f64>() / weights.len().max(1) as f64);
        metrics::update(&mut metrics, "generator", &self.generator, &made.gradients)?;
        self.generator.update(made.gradients);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![(GENERATOR, &mut self.generator), ("fake_score", &mut self.fake_score)]
    }
}

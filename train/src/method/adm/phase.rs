//! ADM as a phase of the trainer: draws, updates, metrics, roles.

use std::sync::Arc;

use super::section::Adm;
use super::step::{self, Options};
use crate::data::StoredConditions;
use crate::diffusion::Denoiser;
use crate::discriminator::{LatentDiscriminator, accuracy};
use crate::error::TrainError;
use crate::method::look::Look;
use crate::method::matching::{Matching, train_fake_score};
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::{Profile, Trained};
use crate::recipe::{HeadReduce, Section};
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::{NamedRoles, StoredState};
use crate::trainer::Phase;

/// Everything that ADM trains and reads.
pub struct AdmPhase {
    section: Adm,
    matching: Matching,
    teacher: Denoiser,
    look: Look,
    generator: Trained,
    fake_score: Trained,
    discriminator: LatentDiscriminator,
}

const HEADS: &str = "latent_heads";

impl AdmPhase {
    /// The phase of a recipe, from the generator of the phase before if there is one.
    ///
    /// # Errors
    /// When the recipe has no such section, or the state does not fit.
    pub fn new(
        section: Adm,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        previous: Option<&StoredState>,
    ) -> Result<Self, TrainError> {
        let process = materials.teacher.denoiser.process.coefficients();
        let latest = materials.time(format!("{}.t_max", Adm::NAME), section.t_max)?;
        if process.thousandths(section.dt_steps) == 0.0 {
            let reason = format!("is {}, less than half a step of the teacher's noise process", section.dt_steps);
            return Err(TrainError::recipe("adm.dt_steps", reason));
        }
        let earliest = process.thousandths(section.t_min) + process.thousandths(section.dt_steps);
        Ok(Self {
            matching: Matching {
                batches: materials.batches(section.batch),
                guidance: section.guidance.unwrap_or(materials.recipe.teacher.guidance),
                guidance_offset: materials.recipe.student.guidance_offset,
                guidance_draw: section.guidance_draw,
                fake_train_source: section.fake_train_source,
                ttur: section.ttur,
                times: [earliest, latest],
            },
            teacher: materials.teacher.denoiser.clone(),
            look: materials.look(Adm::NAME, conditions)?,
            generator: materials.generator(section.lr_generator, previous)?,
            fake_score: materials.fake_score(section.lr_fake)?,
            discriminator: materials.latent_discriminator(Adm::NAME, section.lr_discriminator)?,
            section,
        })
    }

    /// Records from now on how long every role runs.
    pub fn set_profile(&mut self, profile: &Arc<Profile>) {
        let Self { generator, fake_score, teacher, discriminator, .. } = self;
        let roles = [&mut generator.module, &mut fake_score.module, &mut teacher.module];
        roles.into_iter().chain(discriminator.modules_mut()).for_each(|module| module.set_profile(Some(profile.clone())));
    }

    fn options(&self) -> Options {
        let dt = self.teacher.process.coefficients().thousandths(self.section.dt_steps);
        Options { dt, gradient: self.section.adm_grad, reduce: HeadReduce::Mean }
    }

    fn roles(&self) -> step::Roles<'_> {
        step::Roles {
            generator: &self.generator.module,
            student: &self.look.student,
            fake_score: &self.fake_score.module,
            teacher: &self.teacher,
            discriminator: &self.discriminator,
        }
    }
}

impl Phase for AdmPhase {
    fn name(&self) -> &'static str {
        Adm::NAME
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
        let mut draws = Draws::new(self.look.seed, Adm::NAME, index);
        let options = self.options();
        let mut metrics = Metrics::new();
        let (for_fake, (prompts, for_generator)) = self.matching.draw(&mut draws, &self.teacher, &self.look.student)?;
        let others = (&self.generator.module, &self.look.student, &self.teacher);
        train_fake_score(&mut self.fake_score, others, &self.look.conditions, &for_fake, &mut metrics)?;
        if index < self.section.fake_warmup_steps {
            return Ok(metrics);
        }
        let conditions = self.look.conditions.pick(&prompts)?;
        let mut made = step::generator_step(&self.roles(), &conditions, &for_generator, &options)?;
        let gradients = std::mem::take(&mut made.gradients);
        let judged = step::discriminator_step(&self.roles(), &conditions, &for_generator, &made, &options)?;
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        metrics.insert("loss_discriminator".into(), judged.loss.scalar()?);
        metrics.insert("discriminator_accuracy".into(), accuracy(&judged.logits_fake, &judged.logits_real)?);
        // What ADM closes: one step of the fake score and one of the guided teacher, from the same point. And what guidance
        // does to the teacher's output there.
        metrics.insert("adm_gap".into(), metrics::distance(&made.x_fake, &made.x_real)?);
        metrics.insert("guidance_gap".into(), metrics::distance(&made.o_real.guided, &made.o_real.conditional)?);
        metrics::guidance(&mut metrics, &for_generator.weights);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        metrics::update(&mut metrics, "generator", &self.generator, &gradients)?;
        metrics::update(&mut metrics, "discriminator_latent", &self.discriminator.heads.trained, &judged.gradients)?;
        self.generator.update(gradients);
        self.discriminator.heads.trained.update(judged.gradients);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![
            (GENERATOR, &mut self.generator),
            ("fake_score", &mut self.fake_score),
            (HEADS, &mut self.discriminator.heads.trained),
        ]
    }
}

//! ADM as a phase of the trainer: draws, updates, metrics, roles.

use std::sync::Arc;

use super::section::{Adm, FakeTrainSource, GuidanceDraw};
use super::step::{self, FakeDraws, GeneratorDraws, Options};
use crate::data::StoredConditions;
use crate::diffusion::{Denoiser, Generator};
use crate::discriminator::{LatentDiscriminator, accuracy};
use crate::error::TrainError;
use crate::method::draw::Batches;
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
    seed: u64,
    /// Range of the teacher's guidance weight.
    guidance: [f64; 2],
    /// What a guided student's weight is below the teacher's.
    guidance_offset: Option<f64>,
    batches: Batches,
    conditions: StoredConditions,
    teacher: Denoiser,
    student: Generator,
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
        let latest = process.last_time();
        if process.thousandths(section.t_max) > latest {
            let reason = format!("is {}, but the teacher's noise process ends at {latest}", section.t_max);
            return Err(TrainError::recipe("adm.t_max", reason));
        }
        if process.thousandths(section.dt_steps) == 0.0 {
            let reason = format!("is {}, less than half a step of the teacher's noise process", section.dt_steps);
            return Err(TrainError::recipe("adm.dt_steps", reason));
        }
        Ok(Self {
            seed: materials.recipe.run.seed,
            guidance: materials.recipe.teacher.guidance,
            guidance_offset: materials.recipe.student.guidance_offset,
            batches: materials.batches(section.batch),
            conditions: conditions.clone(),
            teacher: materials.teacher.denoiser.clone(),
            student: materials.student(Adm::NAME)?,
            generator: materials.generator(section.lr_generator, previous)?,
            fake_score: materials.fake_score(section.lr_fake),
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
        Options { dt: self.thousandths(self.section.dt_steps), gradient: self.section.adm_grad, reduce: HeadReduce::Mean }
    }

    fn thousandths(&self, count: f64) -> f64 {
        self.teacher.process.coefficients().thousandths(count)
    }

    fn roles(&self) -> step::Roles<'_> {
        step::Roles {
            generator: &self.generator.module,
            student: &self.student,
            fake_score: &self.fake_score.module,
            teacher: &self.teacher,
            discriminator: &self.discriminator,
        }
    }

    fn weights(&self, draws: &mut Draws) -> Vec<f64> {
        let [low, high] = self.guidance;
        let weight = |u: f32| low + (high - low) * f64::from(u);
        let samples = self.batches.samples;
        match self.section.guidance_draw {
            GuidanceDraw::PerSample => draws.uniform(samples).into_iter().map(weight).collect(),
            GuidanceDraw::PerBatch => vec![weight(draws.uniform(1)[0]); samples],
        }
    }

    fn student_weights(&self, teacher: &[f64]) -> Option<Vec<f64>> {
        self.guidance_offset.map(|offset| teacher.iter().map(|weight| weight - offset).collect())
    }

    fn fake_draws(&self, draws: &mut Draws) -> Result<(Vec<usize>, FakeDraws), TrainError> {
        let prompts = self.batches.prompts(draws);
        let z = self.batches.noise(draws)?;
        let fresh = self.batches.noises(draws, self.student.fresh_noises())?;
        // A guided student is sampled at weights of its own draw; the others draw none.
        let student_weights = self.guidance_offset.and_then(|_| self.student_weights(&self.weights(draws)));
        let times = self.teacher.process.any_times(draws, self.batches.samples);
        Ok((prompts, FakeDraws { z, call: None, fresh, student_weights, times, noise: self.batches.noise(draws)? }))
    }

    fn generator_draws(&self, draws: &mut Draws) -> Result<(Vec<usize>, GeneratorDraws), TrainError> {
        let prompts = self.batches.prompts(draws);
        let z = self.batches.noise(draws)?;
        let fresh = self.batches.noises(draws, self.student.fresh_noises())?;
        // One call of the student for the whole batch; a student of one call draws nothing.
        let call = match self.student.len() {
            1 => 0,
            calls => draws.integers(1, 0, calls as i64)[0] as usize,
        };
        let low = self.thousandths(self.section.t_min) + self.thousandths(self.section.dt_steps);
        let high = self.thousandths(self.section.t_max);
        let times = self.teacher.process.times_between(draws, self.batches.samples, low, high);
        let noise = self.batches.noise(draws)?;
        let weights = self.weights(draws);
        let student_weights = self.student_weights(&weights);
        Ok((prompts, GeneratorDraws { z, fresh, call, times, noise, weights, student_weights }))
    }
}

impl Phase for AdmPhase {
    fn name(&self) -> &'static str {
        Adm::NAME
    }

    fn iterations(&self) -> u64 {
        self.section.iterations
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let mut draws = Draws::new(self.seed, Adm::NAME, index);
        let options = self.options();
        let mut metrics = Metrics::new();
        let mut for_fake = Vec::new();
        for _ in 0..self.section.ttur {
            for_fake.push(self.fake_draws(&mut draws)?);
        }
        let (prompts, for_generator) = self.generator_draws(&mut draws)?;
        for (fake_prompts, mut drawn) in for_fake {
            let prompts = match self.section.fake_train_source {
                FakeTrainSource::FullRollout => &fake_prompts,
                FakeTrainSource::SameAsGenerator => {
                    drawn.z = for_generator.z.clone();
                    drawn.fresh.clone_from(&for_generator.fresh);
                    drawn.student_weights.clone_from(&for_generator.student_weights);
                    drawn.call = Some(for_generator.call);
                    &prompts
                }
            };
            let conditions = self.conditions.pick(prompts)?;
            let trained = step::fake_step(&self.roles(), &conditions, &drawn)?;
            metrics.insert("loss_fake".into(), trained.loss.scalar()?);
            self.fake_score.update(trained.gradients);
        }
        let conditions = self.conditions.pick(&prompts)?;
        let mut made = step::generator_step(&self.roles(), &conditions, &for_generator, &options)?;
        let gradients = std::mem::take(&mut made.gradients);
        let judged = step::discriminator_step(&self.roles(), &conditions, &for_generator, &made, &options)?;
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        metrics.insert("loss_discriminator".into(), judged.loss.scalar()?);
        metrics.insert("discriminator_accuracy".into(), accuracy(&judged.logits_fake, &judged.logits_real)?);
        metrics::latents(&mut metrics, &made.x0_hat)?;
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

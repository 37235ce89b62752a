//! ADM as a phase of the trainer: draws, updates, metrics, state.

use std::sync::Arc;

use super::adp_phase::{any_times, shape};
use super::roles::Student;
use super::{adm, metrics};
use crate::diffusion::{Conditions, Denoiser, Schedule};
use crate::discriminator::{LatentDiscriminator, accuracy};
use crate::error::TrainError;
use crate::module::{Profile, Trained, Value};
use crate::recipe::{self, FakeTrainSource, GuidanceDraw, HeadReduce};
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::NamedRoles;
use crate::trainer::Phase;

/// Everything that ADM trains and reads.
pub struct AdmPhase {
    /// The recipe's section.
    pub recipe: recipe::Adm,
    /// Range of the teacher's guidance weight.
    pub guidance: [f64; 2],
    /// Seed of all draws.
    pub seed: u64,
    /// How the student makes its latents.
    pub student: Student,
    /// Shape of one latent.
    pub latent_shape: Vec<usize>,
    /// Every prompt's condition.
    pub conditions: Conditions,
    /// How many prompts there are.
    pub prompts: usize,
    /// F.
    pub teacher: Denoiser,
    /// G.
    pub generator: Trained,
    /// f.
    pub fake_score: Trained,
    /// D.
    pub discriminator: LatentDiscriminator,
    /// Where the time of every part goes, if somebody wants to know.
    pub clock: Option<Arc<Profile>>,
}

const NAME: &str = "adm";
const HEADS: &str = "latent_heads";

impl AdmPhase {
    fn options(&self) -> adm::Options {
        adm::Options {
            student: self.student,
            dt: on_schedule(&self.teacher.schedule, self.recipe.dt_steps),
            gradient: self.recipe.adm_grad,
            reduce: HeadReduce::Mean,
        }
    }

    fn networks(&self) -> adm::Networks<'_> {
        adm::Networks {
            generator: &self.generator.module,
            fake_score: &self.fake_score.module,
            teacher: &self.teacher,
            discriminator: &self.discriminator,
            clock: self.clock.as_deref(),
        }
    }

    fn prompts(&self, draws: &mut Draws) -> Vec<usize> {
        draws.integers(self.recipe.batch, 0, self.prompts as i64).into_iter().map(|prompt| prompt as usize).collect()
    }

    fn noise(&self, draws: &mut Draws) -> Result<Value, TrainError> {
        let shape = shape(self.recipe.batch, &self.latent_shape);
        Value::float(draws.normal(&shape), &shape, self.generator.module.device())
    }

    fn fake_draws(&self, draws: &mut Draws) -> Result<(Vec<usize>, adm::FakeDraws), TrainError> {
        let prompts = self.prompts(draws);
        let z = self.noise(draws)?;
        let times = any_times(draws, &self.teacher.schedule, self.recipe.batch);
        Ok((prompts, adm::FakeDraws { z, times, noise: self.noise(draws)? }))
    }

    fn generator_draws(&self, draws: &mut Draws) -> Result<(Vec<usize>, adm::GeneratorDraws), TrainError> {
        let samples = self.recipe.batch;
        let prompts = self.prompts(draws);
        let z = self.noise(draws)?;
        let (low, high) = (self.recipe.t_min + self.recipe.dt_steps, self.recipe.t_max);
        let times = match self.teacher.schedule.steps() {
            Some(_) => {
                let times = draws.integers(samples, i64::from(low), i64::from(high) + 1);
                times.into_iter().map(|time| time as f64).collect()
            }
            None => {
                let (low, high) = (f64::from(low) / 1000.0, f64::from(high) / 1000.0);
                draws.uniform(samples).into_iter().map(|u| low + (high - low) * f64::from(u)).collect()
            }
        };
        let noise = self.noise(draws)?;
        let [low, high] = self.guidance;
        let weight = |u: f32| low + (high - low) * f64::from(u);
        let weights = match self.recipe.guidance {
            GuidanceDraw::PerSample => draws.uniform(samples).into_iter().map(weight).collect(),
            GuidanceDraw::PerBatch => vec![weight(draws.uniform(1)[0]); samples],
        };
        Ok((prompts, adm::GeneratorDraws { z, times, noise, weights }))
    }
}

/// Timesteps of 1000 on the schedule.
fn on_schedule(schedule: &Schedule, steps: u32) -> f64 {
    if schedule.steps().is_some() { f64::from(steps) } else { f64::from(steps) / 1000.0 }
}

impl Phase for AdmPhase {
    fn name(&self) -> &'static str {
        NAME
    }

    fn iterations(&self) -> u64 {
        self.recipe.iterations
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let mut draws = Draws::new(self.seed, NAME, index);
        let options = self.options();
        let mut metrics = Metrics::new();
        let mut for_fake = Vec::new();
        for _ in 0..self.recipe.ttur {
            for_fake.push(self.fake_draws(&mut draws)?);
        }
        let (prompts, for_generator) = self.generator_draws(&mut draws)?;
        for (fake_prompts, mut drawn) in for_fake {
            let mut texts = fake_prompts;
            if self.recipe.fake_train_source == FakeTrainSource::SameAsGenerator {
                drawn.z = for_generator.z.clone();
                texts.clone_from(&prompts);
            }
            let condition = self.conditions.conditional.pick(&texts)?;
            let step = adm::fake_step(&self.networks(), &condition, &drawn, &options)?;
            metrics.insert("loss_fake".into(), step.loss.scalar()?);
            self.fake_score.update(step.gradients);
        }
        let conditions = self.conditions.pick(&prompts)?;
        let mut made = adm::generator_step(&self.networks(), &conditions, &for_generator, &options)?;
        let gradients = std::mem::take(&mut made.gradients);
        let judged = adm::discriminator_step(&self.networks(), &conditions.conditional, &for_generator, &made, &options)?;
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
            ("generator", &mut self.generator),
            ("fake_score", &mut self.fake_score),
            (HEADS, &mut self.discriminator.heads.trained),
        ]
    }
}

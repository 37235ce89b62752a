//! ADP as a phase of the trainer: draws, updates, metrics, state.

use std::sync::Arc;

use super::{adp, metrics};
use crate::data::PairStore;
use crate::diffusion::{Conditions, Schedule};
use crate::discriminator::{Decoder, Features, LatentDiscriminator, PixelDiscriminator, accuracy};
use crate::error::TrainError;
use crate::module::{Profile, Trained, Value};
use crate::recipe;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::NamedRoles;
use crate::teacher::chunk;
use crate::trainer::Phase;

/// Everything that ADP trains and reads.
pub struct AdpPhase {
    /// The recipe's section.
    pub recipe: recipe::Adp,
    /// Seed of all draws.
    pub seed: u64,
    /// The teacher's forward process.
    pub schedule: Schedule,
    /// The ODE pairs.
    pub pairs: PairStore,
    /// Every prompt's condition.
    pub conditions: Conditions,
    /// The student.
    pub generator: Trained,
    /// D₁.
    pub latent: LatentDiscriminator,
    /// Decoder and D₂.
    pub pixel: Option<(Decoder, PixelDiscriminator)>,
    /// D₂'s features of every pair's decoded latent, where they are kept.
    pub real_pixels: Option<Features>,
    /// Where the time of every part goes, if somebody wants to know.
    pub clock: Option<Arc<Profile>>,
}

const NAME: &str = "adp";
const LATENT: &str = "latent_heads";
const PIXEL: &str = "pixel_heads";

impl AdpPhase {
    /// Decodes every pair once and keeps D₂'s features of it, unless they would need more than `budget` bytes.
    ///
    /// # Errors
    /// When the pairs cannot be read.
    pub fn keep_real_pixels(&mut self, budget: usize) -> Result<(), TrainError> {
        let Some((decoder, pixel)) = &self.pixel else { return Ok(()) };
        let mut chunks: Vec<Features> = Vec::new();
        let size = chunk(self.pairs.latent_shape());
        for start in (0..self.pairs.len()).step_by(size) {
            let end = (start + size).min(self.pairs.len());
            let indices: Vec<i64> = (start as i64..end as i64).collect();
            let latents = self.pairs.batch(&indices)?.latents;
            let latents = Value::float(latents, &shape(end - start, self.pairs.latent_shape()), self.generator.module.device())?;
            let features = pixel.features(&decoder.decode(&latents)?)?;
            let bytes: usize = features.values().map(|value| value.elements() * 4).sum();
            if start == 0 && bytes.div_ceil(end).saturating_mul(self.pairs.len()) > budget {
                return Ok(());
            }
            chunks.push(features);
        }
        let taps: Vec<String> = chunks.first().map(|first| first.keys().cloned().collect()).unwrap_or_default();
        let joined = taps.into_iter().map(|tap| {
            let parts: Vec<Value> = chunks.iter().filter_map(|chunk| chunk.get(&tap).cloned()).collect();
            Ok((tap, Value::join(&parts, 0)?))
        });
        self.real_pixels = Some(joined.collect::<Result<_, TrainError>>()?);
        Ok(())
    }

    fn options(&self) -> adp::Options {
        adp::Options {
            lambda_latent: self.recipe.lambda_latent,
            lambda_pixel: self.recipe.lambda_pixel,
            mse_weight: self.recipe.mse_weight,
            time_clamp: self.recipe.time_clamp,
            reduce: self.recipe.head_reduce,
        }
    }

    /// The networks of an update; the pixel branch is left out where it weighs nothing.
    fn networks(&self) -> adp::Networks<'_> {
        let pixel = self.pixel.as_ref().filter(|_| self.recipe.lambda_pixel > 0.0);
        adp::Networks {
            generator: &self.generator.module,
            schedule: &self.schedule,
            latent: &self.latent,
            pixel: pixel.map(|(decoder, pixel)| (decoder, pixel)),
            clock: self.clock.as_deref(),
        }
    }

    /// Batch and draws of one iteration.
    fn draw(&self, index: u64) -> Result<(adp::Batch, adp::Draws), TrainError> {
        let (samples, device) = (self.recipe.batch, self.generator.module.device());
        let shape = shape(samples, self.pairs.latent_shape());
        let mut draws = Draws::new(self.seed, NAME, index);
        let indices = draws.integers(samples, 0, self.pairs.len() as i64);
        let pairs = self.pairs.batch(&indices)?;
        let prompts: Vec<usize> = pairs.prompts.iter().map(|&prompt| prompt as usize).collect();
        let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
        let kept = self.real_pixels.as_ref().map(|features| {
            features.iter().map(|(tap, value)| Ok((tap.clone(), value.pick(&rows)?))).collect::<Result<Features, TrainError>>()
        });
        let batch = adp::Batch {
            x_0: Value::float(pairs.latents, &shape, device)?,
            x_t: Value::float(pairs.noise, &shape, device)?,
            condition: self.conditions.conditional.pick(&prompts)?,
            real_pixels: kept.transpose()?,
        };
        let u = draws.uniform(samples);
        let time_fake = any_times(&mut draws, &self.schedule, samples);
        let noise_fake = Value::float(draws.normal(&shape), &shape, device)?;
        let time_real = if self.recipe.gan_share_t { time_fake.clone() } else { any_times(&mut draws, &self.schedule, samples) };
        let noise_real =
            if self.recipe.gan_share_noise { noise_fake.clone() } else { Value::float(draws.normal(&shape), &shape, device)? };
        Ok((batch, adp::Draws { u, time_fake, time_real, noise_fake, noise_real }))
    }
}

/// Uniform over all times of a schedule but 0 noise: table indices, or (0, 1].
pub(super) fn any_times(draws: &mut Draws, schedule: &Schedule, samples: usize) -> Vec<f64> {
    match schedule.steps() {
        Some(count) => draws.integers(samples, 0, count as i64).into_iter().map(|time| time as f64).collect(),
        None => draws.uniform(samples).into_iter().map(|u| 1.0 - f64::from(u)).collect(),
    }
}

/// The shape of a batch of latents.
pub(super) fn shape(samples: usize, latent: &[usize]) -> Vec<usize> {
    std::iter::once(samples).chain(latent.iter().copied()).collect()
}

impl Phase for AdpPhase {
    fn name(&self) -> &'static str {
        NAME
    }

    fn iterations(&self) -> u64 {
        self.recipe.iterations
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        let (batch, draws) = self.draw(index)?;
        let options = self.options();
        let mut metrics = Metrics::new();
        if index < self.recipe.mse_warmup_steps {
            let (loss, x0_hat, gradients) = adp::warmup_step(&self.networks(), &batch, &draws.u, &options)?;
            metrics.insert("loss_mse".into(), loss.scalar()?);
            metrics::latents(&mut metrics, &x0_hat)?;
            self.generator.update(gradients);
            return Ok(metrics);
        }
        let mut made = adp::generator_step(&self.networks(), &batch, &draws, &options)?;
        let gradients = std::mem::take(&mut made.gradients);
        let judged = adp::discriminator_step(&self.networks(), &batch, &draws, &made, &options)?;
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        metrics.insert("loss_discriminator".into(), judged.loss.scalar()?);
        metrics.insert("discriminator_accuracy".into(), accuracy(&judged.logits_fake, &judged.logits_real)?);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        if let Some(pictures) = &made.image_fake {
            metrics::brightness(&mut metrics, pictures)?;
        }
        self.generator.update(gradients);
        self.latent.heads.trained.update(judged.gradients_latent);
        if let Some((_, pixel)) = &mut self.pixel {
            pixel.heads.trained.update(judged.gradients_pixel);
        }
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        let mut roles: NamedRoles<'_> = vec![("generator", &mut self.generator), (LATENT, &mut self.latent.heads.trained)];
        if let Some((_, pixel)) = &mut self.pixel {
            roles.push((PIXEL, &mut pixel.heads.trained));
        }
        roles
    }
}

//! ADP as a phase of the trainer: draws, updates, metrics, roles.

use std::sync::Arc;

use super::section::Adp;
use super::step::{self, Batch, Options};
use crate::data::{PairStore, StoredConditions};
use crate::diffusion::{Denoiser, NoiseProcess};
use crate::discriminator::{Decoder, Features, LatentDiscriminator, PixelDiscriminator, accuracy};
use crate::error::TrainError;
use crate::method::draw::{Batches, OdePairs};
use crate::method::look::Look;
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::{Profile, Trained, Value};
use crate::recipe::Section;
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::NamedRoles;
use crate::teacher::chunk;
use crate::trainer::Phase;

/// Features of the real pictures are kept when they fit into this many bytes.
const KEPT_FEATURES: usize = 256 << 20;

/// Everything that ADP trains and reads.
pub struct AdpPhase {
    section: Adp,
    batches: Batches,
    pairs: PairStore,
    /// The teacher's forward process.
    q: NoiseProcess,
    /// The teacher's network on the line between noise and latent.
    line: Denoiser,
    look: Look,
    generator: Trained,
    latent: LatentDiscriminator,
    /// Decoder and D₂.
    pixel: Option<(Decoder, PixelDiscriminator)>,
    /// D₂'s features of every pair's decoded latent, where they are kept.
    real_pixels: Option<Features>,
}

const LATENT: &str = "latent_heads";
const PIXEL: &str = "pixel_heads";

impl AdpPhase {
    /// The phase of a recipe.
    ///
    /// # Errors
    /// When a network that the recipe names cannot be used, or the pairs cannot be read.
    pub fn new(
        section: Adp,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        pairs: PairStore,
    ) -> Result<Self, TrainError> {
        let pixel = match section.lambda_pixel > 0.0 {
            true => materials.pixel_discriminator(Adp::NAME, section.lr_discriminator)?,
            false => None,
        };
        let teacher = &materials.teacher.denoiser;
        let look = materials.look(Adp::NAME, conditions)?;
        let mut phase = Self {
            batches: materials.batches(section.batch),
            pairs,
            q: teacher.process.clone(),
            line: teacher.with_process(look.student.rollout().process().clone().into()),
            look,
            generator: materials.generator(section.lr_generator, None)?,
            latent: materials.latent_discriminator(Adp::NAME, section.lr_discriminator)?,
            pixel: pixel.map(|pixel| (materials.teacher.decoder.clone(), pixel)),
            real_pixels: None,
            section,
        };
        phase.keep_real_pixels(KEPT_FEATURES)?;
        Ok(phase)
    }

    /// Records from now on how long every role runs.
    pub fn set_profile(&mut self, profile: &Arc<Profile>) {
        self.generator.module.set_profile(Some(profile.clone()));
        self.latent.modules_mut().into_iter().for_each(|module| module.set_profile(Some(profile.clone())));
        if let Some((decoder, pixel)) = &mut self.pixel {
            decoder.set_profile(Some(profile.clone()));
            pixel.set_profile(Some(profile.clone()));
        }
    }

    /// Decodes every pair once and keeps D₂'s features of it, unless they would need more than `budget` bytes.
    fn keep_real_pixels(&mut self, budget: usize) -> Result<(), TrainError> {
        let Some((decoder, pixel)) = &self.pixel else { return Ok(()) };
        let mut chunks: Vec<Features> = Vec::new();
        let size = chunk(self.pairs.latent_shape());
        for start in (0..self.pairs.len()).step_by(size) {
            let end = (start + size).min(self.pairs.len());
            let indices: Vec<i64> = (start as i64..end as i64).collect();
            let latents = self.pairs.batch(&indices)?.latents;
            let shape = Batches { samples: end - start, ..self.batches.clone() }.shape();
            let latents = Value::float(latents, &shape, &self.batches.device)?;
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

    fn options(&self) -> Options {
        Options {
            lambda_latent: self.section.lambda_latent,
            lambda_pixel: self.section.lambda_pixel,
            mse_weight: self.section.mse_weight,
            reduce: self.section.head_reduce,
        }
    }

    fn roles(&self) -> step::Roles<'_> {
        step::Roles {
            generator: &self.generator.module,
            line: &self.line,
            q: &self.q,
            latent: &self.latent,
            pixel: self.pixel.as_ref().map(|(decoder, pixel)| (decoder, pixel)),
        }
    }

    /// Batch and draws of one iteration.
    fn drawn(&self, index: u64) -> Result<(Batch, step::Draws), TrainError> {
        let samples = self.batches.samples;
        let mut draws = Draws::new(self.look.seed, Adp::NAME, index);
        let indices = draws.integers(samples, 0, self.pairs.len() as i64);
        let OdePairs { x_0, x_t, condition } = self.batches.pairs(&self.pairs, &self.look.conditions, &indices)?;
        let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
        let kept = self.real_pixels.as_ref().map(|features| {
            features.iter().map(|(tap, value)| Ok((tap.clone(), value.pick(&rows)?))).collect::<Result<Features, TrainError>>()
        });
        let batch = Batch { x_0, x_t, condition, real_pixels: kept.transpose()? };
        let u = draws.uniform(samples);
        let time_fake = self.q.any_times(&mut draws, samples);
        let noise_fake = self.batches.noise(&mut draws)?;
        let time_real = match self.section.gan_share_t {
            true => time_fake.clone(),
            false => self.q.any_times(&mut draws, samples),
        };
        let noise_real = match self.section.gan_share_noise {
            true => noise_fake.clone(),
            false => self.batches.noise(&mut draws)?,
        };
        Ok((batch, step::Draws { u, time_fake, time_real, noise_fake, noise_real }))
    }
}

impl Phase for AdpPhase {
    fn name(&self) -> &'static str {
        Adp::NAME
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
        let (batch, draws) = self.drawn(index)?;
        let options = self.options();
        let mut metrics = Metrics::new();
        if index < self.section.mse_warmup_steps {
            let made = step::warmup_step(&self.roles(), &batch, &draws.u)?;
            metrics.insert("loss_mse".into(), made.loss.scalar()?);
            metrics::latents(&mut metrics, &made.x0_hat)?;
            metrics::update(&mut metrics, "generator", &self.generator, &made.gradients)?;
            self.generator.update(made.gradients);
            return Ok(metrics);
        }
        let mut made = step::generator_step(&self.roles(), &batch, &draws, &options)?;
        let gradients = std::mem::take(&mut made.gradients);
        let judged = step::discriminator_step(&self.roles(), &batch, &draws, &made, &options)?;
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        metrics.insert("loss_discriminator".into(), judged.loss.scalar()?);
        let parts = [
            ("part_generator_latent", Some(&made.loss_latent)),
            ("part_generator_pixel", made.loss_pixel.as_ref()),
            ("part_generator_mse", made.loss_mse.as_ref()),
            ("part_discriminator_latent", Some(&judged.loss_latent)),
            ("part_discriminator_pixel", judged.loss_pixel.as_ref()),
        ];
        for (name, part) in parts {
            if let Some(part) = part {
                metrics.insert(name.into(), part.scalar()?);
            }
        }
        metrics.insert("discriminator_accuracy".into(), accuracy(&judged.logits_fake, &judged.logits_real)?);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        if let Some(pictures) = &made.image_fake {
            metrics::brightness(&mut metrics, pictures)?;
        }
        metrics::update(&mut metrics, "generator", &self.generator, &gradients)?;
        metrics::update(&mut metrics, "discriminator_latent", &self.latent.heads.trained, &judged.gradients_latent)?;
        if let Some((_, pixel)) = &self.pixel {
            metrics::update(&mut metrics, "discriminator_pixel", &pixel.heads.trained, &judged.gradients_pixel)?;
        }
        self.generator.update(gradients);
        self.latent.heads.trained.update(judged.gradients_latent);
        if let Some((_, pixel)) = &mut self.pixel {
            pixel.heads.trained.update(judged.gradients_pixel);
        }
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        let mut roles: NamedRoles<'_> = vec![(GENERATOR, &mut self.generator), (LATENT, &mut self.latent.heads.trained)];
        if let Some((_, pixel)) = &mut self.pixel {
            roles.push((PIXEL, &mut pixel.heads.trained));
        }
        roles
    }
}

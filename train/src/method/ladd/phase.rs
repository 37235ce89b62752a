//! LADD as a phase of the trainer: draws, updates, metrics, roles.

use super::section::Ladd;
use super::step::{self, Batch, Options, Roles};
use crate::data::{PairStore, StoredConditions};
use crate::diffusion::NoiseProcess;
use crate::discriminator::{LatentDiscriminator, accuracy};
use crate::error::TrainError;
use crate::method::draw::{Batches, OdePairs};
use crate::method::look::Look;
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::Trained;
use crate::recipe::{HeadReduce, Section};
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::{NamedRoles, StoredState};
use crate::trainer::Phase;

/// Everything that LADD trains and reads.
pub struct LaddPhase {
    section: Ladd,
    batches: Batches,
    pairs: PairStore,
    /// How probable each call of the student is.
    shares: Vec<f64>,
    /// The teacher's forward process.
    q: NoiseProcess,
    look: Look,
    generator: Trained,
    discriminator: LatentDiscriminator,
}

const HEADS: &str = "latent_heads";

impl LaddPhase {
    /// The phase of a recipe, from the generator of the phase before if there is one.
    ///
    /// # Errors
    /// When the recipe's times are not the student's, or the state does not fit.
    pub fn new(
        section: Ladd,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        pairs: PairStore,
        previous: Option<&StoredState>,
    ) -> Result<Self, TrainError> {
        let look = materials.look(Ladd::NAME, conditions)?;
        Ok(Self {
            batches: materials.batches(section.batch),
            pairs,
            shares: section.shares(look.student.len()),
            q: materials.teacher.denoiser.process.clone(),
            look,
            generator: materials.generator(section.lr_generator, previous)?,
            discriminator: materials.latent_discriminator(Ladd::NAME, section.lr_discriminator)?,
            section,
        })
    }

    fn roles(&self) -> Roles<'_> {
        Roles { generator: &self.generator.module, student: &self.look.student, q: &self.q, discriminator: &self.discriminator }
    }

    /// Batch and draws of one iteration.
    fn drawn(&self, index: u64) -> Result<(Batch, step::Draws), TrainError> {
        let samples = self.batches.samples;
        let mut draws = Draws::new(self.look.seed, Ladd::NAME, index);
        let indices = draws.integers(samples, 0, self.pairs.len() as i64);
        let OdePairs { x_0, condition, .. } = self.batches.pairs(&self.pairs, &self.look.conditions, &indices)?;
        let calls = draws.uniform(samples).into_iter().map(|u| chosen(&self.shares, f64::from(u))).collect();
        let noise = self.batches.noise(&mut draws)?;
        let times = self.q.logit_normal_times(&draws.normal(&[samples]), self.section.logit_mean, self.section.logit_std);
        let (noise_fake, noise_real) = (self.batches.noise(&mut draws)?, self.batches.noise(&mut draws)?);
        Ok((Batch { x_0, condition }, step::Draws { calls, noise, times, noise_fake, noise_real }))
    }
}

/// The place in a list of probabilities where a uniform number from 0 to 1 falls; never one of probability 0.
fn chosen(shares: &[f64], u: f64) -> usize {
    let mut sum = 0.0;
    let place = shares.iter().position(|share| {
        sum += share;
        u < sum
    });
    // Where the sum is rounded below 1.
    place.or_else(|| shares.iter().rposition(|&share| share > 0.0)).unwrap_or(0)
}

impl Phase for LaddPhase {
    fn name(&self) -> &'static str {
        Ladd::NAME
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
        let options = Options { distill_weight: self.section.distill_weight, reduce: HeadReduce::Mean };
        let mut made = step::generator_step(&self.roles(), &batch, &draws, &options)?;
        let gradients = std::mem::take(&mut made.gradients);
        let judged = step::discriminator_step(&self.roles(), &batch, &draws, &made, &options)?.heads;
        let mut metrics = Metrics::new();
        metrics.insert("loss_generator".into(), made.loss.scalar()?);
        metrics.insert("loss_discriminator".into(), judged.loss.scalar()?);
        if let Some(part) = &made.loss_distill {
            metrics.insert("part_generator_distill".into(), part.scalar()?);
        }
        metrics.insert("discriminator_accuracy".into(), accuracy(&judged.logits_fake, &judged.logits_real)?);
        metrics::latents(&mut metrics, &made.x0_hat)?;
        metrics::update(&mut metrics, "generator", &self.generator, &gradients)?;
        metrics::update(&mut metrics, "discriminator_latent", &self.discriminator.heads.trained, &judged.gradients)?;
        self.generator.update(gradients);
        self.discriminator.heads.trained.update(judged.gradients);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![(GENERATOR, &mut self.generator), (HEADS, &mut self.discriminator.heads.trained)]
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn times_are_as_frequent_as_they_are_probable() {
        let shares = [0.0, 0.7, 0.0, 0.3, 0.0];
        let mut counts = [0; 5];
        for i in 0..1000 {
            counts[chosen(&shares, f64::from(i) / 1000.0)] += 1;
        }
        assert_eq!(counts, [0, 700, 0, 300, 0]);
        // Rounded sums leave a gap at the end.
        assert_eq!(chosen(&[0.5, 0.4999, 0.0], 0.99999), 1);
        assert_eq!(chosen(&[1.0], 0.0), 0);
    }
}

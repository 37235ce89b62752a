//! DMD2 as a phase of the trainer: draws, updates, metrics, roles.

use super::section::Dmd2;
use super::step::{self, FakeDraws, Noising, Options, Roles, Samples};
use crate::data::{LatentStore, StoredConditions};
use crate::diffusion::Denoiser;
use crate::discriminator::{Classifier, accuracy};
use crate::error::TrainError;
use crate::method::draw::Captioned;
use crate::method::look::Look;
use crate::method::matching::{FakeTrainSource, GeneratorDraws, Matching, Scored, clean_sample};
use crate::method::materials::{GENERATOR, Materials};
use crate::method::metrics;
use crate::module::{Trained, Value};
use crate::recipe::{HeadReduce, Section};
use crate::session::Draws;
use crate::session::logs::Metrics;
use crate::store::{NamedRoles, StoredState};
use crate::trainer::Phase;

/// Everything that DMD2 trains and reads.
pub struct Dmd2Phase {
    section: Dmd2,
    matching: Matching,
    real: LatentStore,
    teacher: Denoiser,
    look: Look,
    generator: Trained,
    fake_score: Trained,
    classifier: Classifier,
}

const HEADS: &str = "classifier_heads";

/// Every random number of one iteration.
struct Drawn {
    prompts: Vec<usize>,
    generator: GeneratorDraws,
    gan: Noising,
    fake: FakeDraws,
    real: Captioned,
}

impl Dmd2Phase {
    /// The phase of a recipe, from the generator of the phase before if there is one.
    ///
    /// # Errors
    /// When the recipe's times are not the teacher's, a tap is none of its modules, or the state does not fit.
    pub fn new(
        section: Dmd2,
        materials: &Materials<'_>,
        conditions: &StoredConditions,
        (previous, real): (Option<&StoredState>, LatentStore),
    ) -> Result<Self, TrainError> {
        let process = materials.teacher.denoiser.process.coefficients();
        let latest = materials.time(format!("{}.t_max", Dmd2::NAME), section.t_max)?;
        Ok(Self {
            matching: Matching {
                batches: materials.batches(section.batch),
                guidance: materials.recipe.teacher.guidance,
                guidance_offset: materials.recipe.student.guidance_offset,
                guidance_draw: section.guidance_draw,
                fake_train_source: FakeTrainSource::SameAsGenerator,
                ttur: section.ttur,
                times: [process.thousandths(section.t_min), latest],
            },
            real,
            teacher: materials.teacher.denoiser.clone(),
            look: materials.look(Dmd2::NAME, conditions)?,
            generator: materials.generator(section.lr_generator, previous)?,
            fake_score: materials.fake_score(section.lr_fake)?,
            classifier: materials.classifier(Dmd2::NAME, &section.taps, section.lr_classifier)?,
            section,
        })
    }

    fn options(&self) -> Options {
        Options {
            generator: self.section.gan_weight_generator,
            classifier: self.section.gan_weight_classifier,
            reduce: HeadReduce::Mean,
        }
    }

    fn roles(&self) -> Roles<'_> {
        Roles {
            scored: Scored {
                generator: &self.generator.module,
                student: &self.look.student,
                fake_score: &self.fake_score.module,
                teacher: &self.teacher,
            },
            classifier: &self.classifier,
        }
    }

    fn drawn(&self, index: u64) -> Result<Drawn, TrainError> {
        let batches = &self.matching.batches;
        let mut draws = Draws::new(self.look.seed, Dmd2::NAME, index);
        let (prompts, generator) = self.matching.generator(&mut draws, &self.teacher, &self.look.student)?;
        let mut noising = || -> Result<Noising, TrainError> {
            let times = self.teacher.process.any_times(&mut draws, batches.samples);
            Ok(Noising { times, noise: batches.noise(&mut draws)? })
        };
        let gan = noising()?;
        let fake = FakeDraws { denoised: noising()?, fake: noising()?, real: noising()? };
        let real = batches.reals(&self.real, &mut draws)?;
        Ok(Drawn { prompts, generator, gan, fake, real })
    }

    /// The generator's update, and the samples that it was made with.
    fn train_generator(&mut self, drawn: &Drawn, metrics: &mut Metrics) -> Result<Value, TrainError> {
        let conditions = self.look.conditions.pick(&drawn.prompts)?;
        let made = step::generator_step(&self.roles(), &conditions, &drawn.generator, &drawn.gan, &self.options())?;
        metrics.insert("loss_generator".into(), made.loss);
        metrics.insert("part_generator_matching".into(), made.direction.loss());
        metrics.insert("part_generator_gan".into(), made.loss_gan.scalar()?);
        metrics::guidance(metrics, &drawn.generator.weights);
        metrics::update(metrics, "generator", &self.generator, &made.gradients)?;
        self.generator.update(made.gradients);
        Ok(made.x0_hat)
    }

    /// Samples of the same walk in an iteration that leaves the generator alone.
    fn sampled(&self, drawn: &Drawn) -> Result<Value, TrainError> {
        let conditions = self.look.conditions.pick(&drawn.prompts)?;
        let student = self.look.student.with_module(self.generator.module.frozen());
        let GeneratorDraws { z, call, student_weights, fresh, .. } = &drawn.generator;
        clean_sample(&student, z, *call, &conditions, student_weights.as_deref(), fresh)
    }
}

impl Phase for Dmd2Phase {
    fn name(&self) -> &'static str {
        Dmd2::NAME
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
        let drawn = self.drawn(index)?;
        let mut metrics = Metrics::new();
        let x0 = match index.is_multiple_of(u64::from(self.section.ttur)) {
            true => self.train_generator(&drawn, &mut metrics)?,
            false => self.sampled(&drawn)?,
        };
        let samples = Samples {
            fake: &x0,
            fake_condition: &self.look.conditions.conditional(&drawn.prompts)?,
            real: &drawn.real.x_0,
            real_condition: &self.look.conditions.conditional(&drawn.real.captions)?,
        };
        let learnt = step::fake_step(&self.roles(), &samples, &drawn.fake, &self.options())?;
        metrics.insert("loss_fake".into(), learnt.loss_denoising.scalar()?);
        metrics.insert("loss_classifier".into(), learnt.loss_gan.scalar()?);
        metrics.insert("discriminator_accuracy".into(), accuracy(&learnt.logits_fake, &learnt.logits_real)?);
        metrics::latents(&mut metrics, &x0)?;
        metrics::update(&mut metrics, "fake", &self.fake_score, &learnt.gradients)?;
        metrics::update(&mut metrics, "classifier", &self.classifier.heads.trained, &learnt.gradients_heads)?;
        self.fake_score.update(learnt.gradients);
        self.classifier.heads.trained.update(learnt.gradients_heads);
        Ok(metrics)
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![(GENERATOR, &mut self.generator), ("fake_score", &mut self.fake_score), (HEADS, &mut self.classifier.heads.trained)]
    }
}

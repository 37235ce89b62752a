//! What methods share that match the student's distribution with the teacher's: the fake score's update, and the draws.

pub mod estimate;
pub(super) mod replay;

use serde::{Deserialize, Serialize};

use super::draw::{Batches, guidance_weights};
use super::metrics;
use crate::data::StoredConditions;
use crate::diffusion::{ConditionBatch, ConditionPair, Denoiser, Generator};
use crate::error::TrainError;
use crate::module::{GraphModule, ParameterGradients, Trained, Value, parameter_gradients};
use crate::session::Draws;
use crate::session::logs::Metrics;

/// Which samples share a guidance weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceDraw {
    /// None: every sample draws its own.
    #[default]
    PerSample,
    /// All of a batch.
    PerBatch,
}

/// What the fake score is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FakeTrainSource {
    /// Fresh samples of the whole sampler (Algorithm 1).
    #[default]
    FullRollout,
    /// The samples of the generator's update (DMD2).
    SameAsGenerator,
}

/// The networks of which one scores what another draws. The teacher is frozen.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// G_θ.
    pub generator: &'a GraphModule,
    /// Times and parameterisation of G.
    pub student: &'a Generator,
    /// f_ψ.
    pub fake_score: &'a GraphModule,
    /// F_φ.
    pub teacher: &'a Denoiser,
}

/// Every random number of the fake score's update.
#[derive(Clone, Debug)]
pub struct FakeDraws {
    /// z.
    pub z: Value,
    /// The call of the student whose clean sample is taken, as in the generator's update; none for the end of its walk.
    pub call: Option<usize>,
    /// The noises of a student that noises its samples anew.
    pub fresh: Vec<Value>,
    /// The student's guidance weights, one per sample, where it is guided.
    pub student_weights: Option<Vec<f64>>,
    /// t_f on the teacher's process, one per sample.
    pub times: Vec<f64>,
    /// z_f.
    pub noise: Value,
}

/// Every random number of the generator's and the heads' updates.
#[derive(Clone, Debug)]
pub struct GeneratorDraws {
    /// ẑ.
    pub z: Value,
    /// The noises of a student that noises its samples anew.
    pub fresh: Vec<Value>,
    /// The call of the student that is trained, from 0: N - n in the paper's count, which ends at 1.
    pub call: usize,
    /// t on the teacher's process, one per sample.
    pub times: Vec<f64>,
    /// z_g.
    pub noise: Value,
    /// The teacher's guidance weights, one per sample.
    pub weights: Vec<f64>,
    /// The student's, where it is guided.
    pub student_weights: Option<Vec<f64>>,
}

/// What the fake score's update computed.
pub struct FakeStep {
    /// The student's sample.
    pub x0: Value,
    /// Its noised version.
    pub x_t: Value,
    /// The fake score's raw output.
    pub prediction: Value,
    /// L_f.
    pub loss: Value,
    /// dL_f/dψ.
    pub gradients: ParameterGradients,
}

/// One step of f's own diffusion training on the student's samples: no guidance, mean squared error.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn fake_step(roles: &Scored<'_>, conditions: &ConditionPair, draws: &FakeDraws) -> Result<FakeStep, TrainError> {
    // Line 9 of Algorithm 1: x_0, the end of the student's walk from z, without gradient.
    let (student, weights) = (roles.student.with_module(roles.generator.frozen()), draws.student_weights.as_deref());
    let x0 = match draws.call {
        None => student.sample(&draws.z, conditions, weights, &draws.fresh)?,
        Some(call) => clean_sample(&student, &draws.z, call, conditions, weights, &draws.fresh)?,
    };
    let learnt = denoising(roles, &x0, (&draws.times, &draws.noise), &conditions.conditional)?;
    let Denoising { x_t, prediction, loss } = learnt;
    let (prediction, value) = (prediction.detached(), loss.detached());
    let gradients = parameter_gradients(loss, roles.fake_score);
    Ok(FakeStep { x0, x_t, prediction, loss: value, gradients })
}

/// The clean sample that call `call` of a student sees on its walk from z.
pub(super) fn clean_sample(
    student: &Generator,
    z: &Value,
    call: usize,
    conditions: &ConditionPair,
    weights: Option<&[f64]>,
    fresh: &[Value],
) -> Result<Value, TrainError> {
    let walked = student.walk(z, call, conditions, weights, fresh)?;
    Ok(student.predict(walked.last().unwrap_or(z), call, conditions, weights)?.x0)
}

/// f's own diffusion training on clean samples, on its tape.
pub(super) struct Denoising {
    /// The noised samples.
    pub x_t: Value,
    /// f's raw output.
    pub prediction: Value,
    /// The mean squared error.
    pub loss: Value,
}

/// The loss that f was pre-trained by, at one time and noise per sample and without guidance.
pub(super) fn denoising(
    roles: &Scored<'_>,
    x0: &Value,
    (times, noise): (&[f64], &Value),
    condition: &ConditionBatch,
) -> Result<Denoising, TrainError> {
    let q = &roles.teacher.process;
    let x_t = q.noised(x0, times, noise)?;
    let target = q.target(x0, times, noise)?;
    let prediction = roles.teacher.with_module(roles.fake_score.clone()).predict(&x_t, times, condition)?;
    let loss = prediction.minus(&target).square().mean();
    Ok(Denoising { x_t, prediction, loss })
}

/// Checks the range of t, which `[name]` has under the same keys for every matching method.
///
/// # Errors
/// [`TrainError::Recipe`] about an empty range.
pub(super) fn check_times(name: &str, t_min: f64, t_max: f64) -> Result<(), TrainError> {
    if t_min >= t_max {
        return Err(TrainError::recipe(format!("{name}.t_min"), format!("is {t_min}, but must be below t_max = {t_max}")));
    }
    Ok(())
}

/// How a matching method draws.
pub(super) struct Matching {
    pub batches: Batches,
    /// Range of the teacher's guidance weight.
    pub guidance: [f64; 2],
    /// What a guided student's weight is below the teacher's.
    pub guidance_offset: Option<f64>,
    pub guidance_draw: GuidanceDraw,
    pub fake_train_source: FakeTrainSource,
    /// Fake-score updates per update of the generator.
    pub ttur: u32,
    /// The smallest and the largest t of the generator's update, on the teacher's process.
    pub times: [f64; 2],
}

/// The prompts of a batch and what was drawn for it.
pub(super) type Drawn<T> = (Vec<usize>, T);

impl Matching {
    /// The draws of one iteration: of all updates of the fake score, and of the generator's.
    pub(super) fn draw(
        &self,
        draws: &mut Draws,
        teacher: &Denoiser,
        student: &Generator,
    ) -> Result<(Vec<Drawn<FakeDraws>>, Drawn<GeneratorDraws>), TrainError> {
        let mut for_fake = (0..self.ttur).map(|_| self.fake(draws, teacher, student)).collect::<Result<Vec<_>, _>>()?;
        let (prompts, for_generator) = self.generator(draws, teacher, student)?;
        if self.fake_train_source == FakeTrainSource::SameAsGenerator {
            for (fake_prompts, drawn) in &mut for_fake {
                fake_prompts.clone_from(&prompts);
                drawn.z = for_generator.z.clone();
                drawn.fresh.clone_from(&for_generator.fresh);
                drawn.student_weights.clone_from(&for_generator.student_weights);
                drawn.call = Some(for_generator.call);
            }
        }
        Ok((for_fake, (prompts, for_generator)))
    }

    fn weights(&self, draws: &mut Draws) -> Vec<f64> {
        let samples = self.batches.samples;
        match self.guidance_draw {
            GuidanceDraw::PerSample => guidance_weights(draws, self.guidance, samples),
            GuidanceDraw::PerBatch => guidance_weights(draws, self.guidance, 1).repeat(samples),
        }
    }

    fn student_weights(&self, teacher: &[f64]) -> Option<Vec<f64>> {
        self.guidance_offset.map(|offset| teacher.iter().map(|weight| weight - offset).collect())
    }

    fn fake(&self, draws: &mut Draws, teacher: &Denoiser, student: &Generator) -> Result<Drawn<FakeDraws>, TrainError> {
        let prompts = self.batches.prompts(draws);
        let z = self.batches.noise(draws)?;
        let fresh = self.batches.noises(draws, student.fresh_noises())?;
        // A guided student is sampled at weights of its own draw; the others draw none.
        let student_weights = self.guidance_offset.and_then(|_| self.student_weights(&self.weights(draws)));
        let times = teacher.process.any_times(draws, self.batches.samples);
        Ok((prompts, FakeDraws { z, call: None, fresh, student_weights, times, noise: self.batches.noise(draws)? }))
    }

    /// The draws of one update of the generator.
    pub(super) fn generator(
        &self,
        draws: &mut Draws,
        teacher: &Denoiser,
        student: &Generator,
    ) -> Result<Drawn<GeneratorDraws>, TrainError> {
        let prompts = self.batches.prompts(draws);
        let z = self.batches.noise(draws)?;
        let fresh = self.batches.noises(draws, student.fresh_noises())?;
        // One call of the student for the whole batch; a student of one call draws nothing.
        let call = match student.len() {
            1 => 0,
            calls => draws.integers(1, 0, calls as i64)[0] as usize,
        };
        let [low, high] = self.times;
        let times = teacher.process.times_between(draws, self.batches.samples, low, high);
        let noise = self.batches.noise(draws)?;
        let weights = self.weights(draws);
        let student_weights = self.student_weights(&weights);
        Ok((prompts, GeneratorDraws { z, fresh, call, times, noise, weights, student_weights }))
    }
}

/// Trains the fake score on everything that was drawn for it, before it scores the generator.
pub(super) fn train_fake_score(
    fake_score: &mut Trained,
    others: (&GraphModule, &Generator, &Denoiser),
    conditions: &StoredConditions,
    drawn: &[Drawn<FakeDraws>],
    metrics: &mut Metrics,
) -> Result<(), TrainError> {
    let (generator, student, teacher) = others;
    for (prompts, draws) in drawn {
        let roles = Scored { generator, student, fake_score: &fake_score.module, teacher };
        let trained = fake_step(&roles, &conditions.pick(prompts)?, draws)?;
        metrics.insert("loss_fake".into(), trained.loss.scalar()?);
        metrics::update(metrics, "fake", fake_score, &trained.gradients)?;
        fake_score.update(trained.gradients);
    }
    Ok(())
}

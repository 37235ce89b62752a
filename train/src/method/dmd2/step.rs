//! DMD2: Yin et al., arXiv 2405.14867; distillation.md 3.7.
//!
//! Pure functions of roles, batch and draws, in the order in which an iteration runs them: (a) the generator, by the fake score
//! and the classifier as the iteration before left them; (b) fake score and classifier on the same samples, off the tape. Each
//! returns every value that it computed, and the gradients, which the caller applies.

use crate::diffusion::{ConditionBatch, ConditionPair, Denoiser, Guided};
use crate::discriminator::{Classifier, Features, unsaturated_generator_loss, unsaturated_loss};
use crate::error::TrainError;
use crate::method::matching::estimate::{Direction, Estimated, estimate};
use crate::method::matching::{Denoising, GeneratorDraws, Scored, denoising};
use crate::method::tape::detached;
use crate::module::{ParameterGradients, Value, input_gradient, parameter_gradients_of_both, pulled_back};
use crate::recipe::HeadReduce;

/// The networks. The teacher is frozen.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// G, its walk, f and F.
    pub scored: Scored<'a>,
    /// D, on f's own features.
    pub classifier: &'a Classifier,
}

impl Roles<'_> {
    /// f, by the teacher's names and process.
    fn fake_score(&self) -> Denoiser {
        self.scored.teacher.with_module(self.scored.fake_score.clone())
    }
}

/// What the losses weigh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Of the classifier's verdict in the generator's loss.
    pub generator: f64,
    /// Of the classifier's loss beside the fake score's.
    pub classifier: f64,
    /// How heads are put together.
    pub reduce: HeadReduce,
}

/// Where samples are noised to, one time and noise each.
#[derive(Clone, Debug)]
pub struct Noising {
    /// On the teacher's process.
    pub times: Vec<f64>,
    /// Standard normal.
    pub noise: Value,
}

/// What the generator's update computed; everything but `gradients` is off the tape.
pub struct GeneratorStep {
    /// The student's samples on the way to the trained call.
    pub walked: Vec<Value>,
    /// The student's raw output.
    pub o_student: Value,
    /// x̂₀.
    pub x0_hat: Value,
    /// x_t.
    pub x_t: Value,
    /// f's raw output at x_t.
    pub o_fake: Value,
    /// F's raw outputs at x_t.
    pub o_real: Guided,
    /// The direction in which x̂₀ should not go.
    pub direction: Direction,
    /// What the classifier sees.
    pub x_t_gan: Value,
    /// Its logits.
    pub logits: Features,
    /// softplus(-D) without its weight.
    pub loss_gan: Value,
    /// L_G.
    pub loss: f64,
    /// dL_G/dx̂₀.
    pub grad_x0_hat: Value,
    /// dL_G/dθ.
    pub gradients: ParameterGradients,
}

/// (a) L_G = L_DM + w softplus(-D(q(x̂₀))): towards where the guided teacher thinks that the samples belong, and to where the
/// classifier takes them for real ones.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn generator_step(
    roles: &Roles<'_>,
    conditions: &ConditionPair,
    draws: &GeneratorDraws,
    gan: &Noising,
    options: &Options,
) -> Result<GeneratorStep, TrainError> {
    let Estimated { walked, predicted, x0_hat, x_t, o_fake, o_real, direction } = estimate(&roles.scored, conditions, draws)?;

    // The classifier's term as a function of x̂₀: a tape of its own, whose gradient joins that of L_DM.
    let x0 = x0_hat.leaf();
    let x_t_gan = roles.scored.teacher.process.noised(&x0, &gan.times, &gan.noise)?;
    let logits = roles.classifier.logits_of_frozen(&roles.fake_score(), &x_t_gan, &gan.times, &conditions.conditional)?;
    let loss_gan = unsaturated_generator_loss(&logits, options.reduce)?;
    let (x_t_gan, logits, value) = (x_t_gan.detached(), detached(logits), loss_gan.detached());
    let by_classifier = input_gradient(loss_gan, &x0, roles.scored.fake_score)?;

    let grad_x0_hat = direction.derivative().plus(&by_classifier.scale(options.generator));
    let gradients = pulled_back(&predicted.x0, &grad_x0_hat, roles.scored.generator);
    Ok(GeneratorStep {
        walked,
        o_student: predicted.output.detached(),
        x0_hat,
        x_t,
        o_fake,
        o_real,
        loss: direction.loss() + options.generator * value.scalar()?,
        direction,
        x_t_gan,
        logits,
        loss_gan: value,
        grad_x0_hat,
        gradients,
    })
}

/// What fake score and classifier learn from, clean.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The student's.
    pub fake: &'a Value,
    /// What they were drawn for.
    pub fake_condition: &'a ConditionBatch,
    /// Real ones.
    pub real: &'a Value,
    /// Their captions.
    pub real_condition: &'a ConditionBatch,
}

/// Every random number of the update of fake score and classifier.
#[derive(Clone, Debug)]
pub struct FakeDraws {
    /// Of the samples that the fake score denoises.
    pub denoised: Noising,
    /// Of the same samples before the classifier.
    pub fake: Noising,
    /// Of the real ones.
    pub real: Noising,
}

/// What the update of fake score and classifier computed; everything but the gradients is off the tape.
pub struct FakeStep {
    /// What the fake score sees.
    pub x_t: Value,
    /// Its raw output.
    pub prediction: Value,
    /// Its own loss.
    pub loss_denoising: Value,
    /// What the classifier sees of the student.
    pub x_t_fake: Value,
    /// What it sees of the real samples.
    pub x_t_real: Value,
    /// Logits of the student's samples.
    pub logits_fake: Features,
    /// Logits of the real ones.
    pub logits_real: Features,
    /// The classifier's loss without its weight.
    pub loss_gan: Value,
    /// L_f.
    pub loss: Value,
    /// Of the fake score.
    pub gradients: ParameterGradients,
    /// Of the heads.
    pub gradients_heads: ParameterGradients,
}

/// (b) L_f = mean |f(q(x̂₀)) - target|² + w [softplus(D(q(x̂₀))) + softplus(-D(q(real)))], whose second part trains the heads and
/// the fake score as far as they tap it.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn fake_step(roles: &Roles<'_>, samples: &Samples<'_>, draws: &FakeDraws, options: &Options) -> Result<FakeStep, TrainError> {
    let q = &roles.scored.teacher.process;
    let Noising { times, noise } = &draws.denoised;
    let Denoising { x_t, prediction, loss: loss_denoising } =
        denoising(&roles.scored, samples.fake, (times, noise), samples.fake_condition)?;

    let fake_score = roles.fake_score();
    let x_t_fake = q.noised(samples.fake, &draws.fake.times, &draws.fake.noise)?;
    let x_t_real = q.noised(samples.real, &draws.real.times, &draws.real.noise)?;
    // Fakes and reals pass apart: where their losses cancel, the gradients do so exactly.
    let logits_fake = roles.classifier.logits(&fake_score, &x_t_fake, &draws.fake.times, samples.fake_condition)?;
    let logits_real = roles.classifier.logits(&fake_score, &x_t_real, &draws.real.times, samples.real_condition)?;
    drop(fake_score);
    let loss_gan = unsaturated_loss(&logits_fake, &logits_real, options.reduce)?;
    let loss = loss_denoising.plus(&loss_gan.scale(options.classifier));
    let (logits_fake, logits_real) = (detached(logits_fake), detached(logits_real));
    let (prediction, loss_denoising) = (prediction.detached(), loss_denoising.detached());
    let (loss_gan, value) = (loss_gan.detached(), loss.detached());
    let heads = &roles.classifier.heads.trained.module;
    let [gradients, gradients_heads] = parameter_gradients_of_both(loss, roles.scored.fake_score, heads);
    Ok(FakeStep {
        x_t,
        prediction,
        loss_denoising,
        x_t_fake,
        x_t_real,
        logits_fake,
        logits_real,
        loss_gan,
        loss: value,
        gradients,
        gradients_heads,
    })
}

//! Adversarial distribution matching (ADM): Algorithm 1 of the paper for the one-step student.
//!
//! Pure functions of roles, batch and draws, in the order in which an iteration runs them: (a) the fake score, whose
//! update is in force when it scores the generator, (b) the generator, (c) the heads on the same tensors. Each returns
//! every value that it computed, and the gradients, which the caller applies.

use super::adp::{detached, discriminator_times, gradient, pulled_back};
use super::roles::Student;
use crate::diffusion::{Condition, Conditions, Denoiser, Guided, Schedule};
use crate::discriminator::{Features, LatentDiscriminator, generator_loss, hinge_loss};
use crate::error::TrainError;
use crate::module::{GraphModule, ParameterGradients, Profile, Value};
use crate::recipe::{AdmGradient, HeadReduce};

/// What the paper leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How the student makes its latents.
    pub student: Student,
    /// Δt on the schedule.
    pub dt: f64,
    /// Whether the generator's gradient passes through the fake score (register A9).
    pub gradient: AdmGradient,
    /// How heads are put together (register A7).
    pub reduce: HeadReduce,
}

/// The networks. The teacher, and with it the discriminator's backbone, is frozen.
#[derive(Debug)]
pub struct Networks<'a> {
    /// G_θ.
    pub generator: &'a GraphModule,
    /// f_ψ.
    pub fake_score: &'a GraphModule,
    /// F_φ.
    pub teacher: &'a Denoiser,
    /// D_τ.
    pub discriminator: &'a LatentDiscriminator,
    /// Where the time of every part goes, if somebody wants to know.
    pub clock: Option<&'a Profile>,
}

impl Networks<'_> {
    fn schedule(&self) -> &Schedule {
        &self.teacher.schedule
    }

    fn denoiser(&self, module: GraphModule) -> Denoiser {
        Denoiser { module, schedule: self.schedule().clone() }
    }
}

/// Every random number of the fake score's update.
#[derive(Clone, Debug)]
pub struct FakeDraws {
    /// z.
    pub z: Value,
    /// t_f on the schedule, one per sample.
    pub times: Vec<f64>,
    /// z_f.
    pub noise: Value,
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

/// (a) One step of f's own diffusion training on the student's samples: no guidance, mean squared error.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn fake_step(
    net: &Networks<'_>,
    condition: &Condition,
    draws: &FakeDraws,
    options: &Options,
) -> Result<FakeStep, TrainError> {
    let generator = net.denoiser(net.generator.frozen());
    let sampled =
        Profile::timed(net.clock, "generator forward (no tape)", || options.student.sample(&generator, &draws.z, condition));
    let x0 = sampled?.x0;
    let x_t = net.schedule().noised(&x0, &draws.times, &draws.noise)?;
    let target = net.schedule().target(&x0, &draws.times, &draws.noise)?;
    let fake_score = net.denoiser(net.fake_score.clone());
    let prediction = Profile::timed(net.clock, "fake score forward", || fake_score.predict(&x_t, &draws.times, condition))?;
    drop(fake_score);
    let loss = prediction.minus(&target).square().mean();
    let (prediction, value) = (prediction.detached(), loss.detached());
    let mut gradients = Profile::timed(net.clock, "fake score backward", || loss.backward());
    let gradients = ParameterGradients::take(net.fake_score, &mut gradients);
    Ok(FakeStep { x0, x_t, prediction, loss: value, gradients })
}

/// Every random number of the generator's and the heads' updates.
#[derive(Clone, Debug)]
pub struct GeneratorDraws {
    /// ẑ.
    pub z: Value,
    /// t on the schedule, one per sample.
    pub times: Vec<f64>,
    /// z_g.
    pub noise: Value,
    /// The teacher's guidance weights, one per sample.
    pub weights: Vec<f64>,
}

/// What the generator's update computed; everything but `gradients` is off the tape.
pub struct GeneratorStep {
    /// The student's raw output.
    pub o_student: Value,
    /// x̂₀.
    pub x0_hat: Value,
    /// x_t.
    pub x_t: Value,
    /// f's raw output at x_t.
    pub o_fake: Value,
    /// f's step from t to t - Δt.
    pub x_fake: Value,
    /// F's raw outputs at x_t.
    pub o_real: Guided,
    /// F's guided step from t to t - Δt.
    pub x_real: Value,
    /// Backbone features of `x_fake`.
    pub features: Features,
    /// Logits of the heads on `x_fake`.
    pub logits: Features,
    /// L_G.
    pub loss: Value,
    /// dL_G/dx_fake.
    pub grad_x_fake: Value,
    /// dL_G/dx̂₀.
    pub grad_x0_hat: Value,
    /// dL_G/dθ.
    pub gradients: ParameterGradients,
}

/// (b) L_G = -D(x_fake, t - Δt, c) (equation 7): the gradient reaches θ through D's backbone, f's step and q.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn generator_step(
    net: &Networks<'_>,
    conditions: &Conditions,
    draws: &GeneratorDraws,
    options: &Options,
) -> Result<GeneratorStep, TrainError> {
    let (schedule, condition) = (net.schedule(), &conditions.conditional);
    let later: Vec<f64> = draws.times.iter().map(|time| time - options.dt).collect();
    let generator = net.denoiser(net.generator.clone());
    let sampled = Profile::timed(net.clock, "generator forward", || options.student.sample(&generator, &draws.z, condition))?;
    drop(generator);
    // x̂₀ begins a tape of its own, and so does x_fake; gradients are handed on from tape to tape.
    let x0 = sampled.x0.leaf();
    let x_t = schedule.noised(&x0, &draws.times, &draws.noise)?;
    let fake_score = net.denoiser(net.fake_score.frozen());
    let seen = match options.gradient {
        AdmGradient::Full => x_t.clone(),
        AdmGradient::DetachFake => x_t.detached(),
    };
    let scored = || fake_score.predict(&seen, &draws.times, condition);
    let o_fake = Profile::timed(net.clock, "fake score forward (for the generator)", scored)?;
    let x_fake = schedule.step(&o_fake, &x_t, &draws.times, &later)?;
    // x_real starts from the same x_t; nothing on its path is trained.
    let x_t_constant = x_t.detached();
    let guided = || net.teacher.guided(&x_t_constant, &draws.times, conditions, &draws.weights);
    let o_real = Profile::timed(net.clock, "teacher forward (guided)", guided)?;
    let x_real = schedule.step(&o_real.guided, &x_t_constant, &draws.times, &later)?;

    let judged = x_fake.leaf();
    let backbone = || net.discriminator.features(&judged, &discriminator_times(schedule, &later), condition);
    let features = Profile::timed(net.clock, "latent backbone forward (fake)", backbone)?;
    let logits = Profile::timed(net.clock, "heads forward", || net.discriminator.heads.logits_of_frozen(&features))?;
    let loss = generator_loss(&logits, options.reduce)?;
    let (features, logits, value) = (detached(features), detached(logits), loss.detached());
    let mut to_fake = Profile::timed(net.clock, "discriminator backward to latents", || loss.backward());
    let grad_x_fake = gradient(&mut to_fake, &judged)?;
    let o_fake_value = o_fake.detached();
    drop((o_fake, seen));
    let product = x_fake.times(&grad_x_fake).sum();
    let mut through = Profile::timed(net.clock, "fake score backward to latents", || product.backward());
    let grad_x0_hat = gradient(&mut through, &x0)?;
    let pull = || pulled_back(&sampled.x0, &grad_x0_hat, net.generator);
    let gradients = Profile::timed(net.clock, "generator backward", pull);
    Ok(GeneratorStep {
        o_student: sampled.output.detached(),
        x0_hat: sampled.x0.detached(),
        x_t: x_t_constant,
        o_fake: o_fake_value,
        x_fake: x_fake.detached(),
        o_real,
        x_real,
        features,
        logits,
        loss: value,
        grad_x_fake,
        grad_x0_hat,
        gradients,
    })
}

/// What the heads' update computed; everything but the gradients is off the tape.
pub struct DiscriminatorStep {
    /// Backbone features of `x_real`.
    pub features_real: Features,
    /// Logits on `x_fake`.
    pub logits_fake: Features,
    /// Logits on `x_real`.
    pub logits_real: Features,
    /// L_D.
    pub loss: Value,
    /// Of the heads.
    pub gradients: ParameterGradients,
}

/// (c) The hinge on x_fake and x_real, both at t - Δt; the features of x_fake are those of the generator's update.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn discriminator_step(
    net: &Networks<'_>,
    condition: &Condition,
    draws: &GeneratorDraws,
    made: &GeneratorStep,
    options: &Options,
) -> Result<DiscriminatorStep, TrainError> {
    let later: Vec<f64> = draws.times.iter().map(|time| time - options.dt).collect();
    let times = discriminator_times(net.schedule(), &later);
    let backbone = || net.discriminator.features(&made.x_real, &times, condition);
    let features_real = Profile::timed(net.clock, "latent backbone forward (real)", backbone)?;
    let heads = || heads_step(net.discriminator, &made.features, &features_real, options.reduce);
    Profile::timed(net.clock, "heads forward and backward", heads)
}

/// The heads' loss and gradients on given features: one update of the heads, repeatable on the same batch.
///
/// # Errors
/// When the features do not fit the heads.
pub fn heads_step(
    discriminator: &LatentDiscriminator,
    fake: &Features,
    real: &Features,
    reduce: HeadReduce,
) -> Result<DiscriminatorStep, TrainError> {
    // Fakes and reals pass apart: where their hinges cancel, the gradients do so exactly.
    let (logits_fake, logits_real) = (discriminator.heads.logits(fake)?, discriminator.heads.logits(real)?);
    let loss = hinge_loss(&logits_fake, &logits_real, reduce)?;
    let value = loss.detached();
    let (logits_fake, logits_real) = (detached(logits_fake), detached(logits_real));
    let gradients = ParameterGradients::take(&discriminator.heads.trained.module, &mut loss.backward());
    Ok(DiscriminatorStep { features_real: real.clone(), logits_fake, logits_real, loss: value, gradients })
}

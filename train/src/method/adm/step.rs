//! Adversarial distribution matching (ADM): one global iteration of the paper's Algorithm 1.
//!
//! Pure functions of roles, batch and draws, in the order in which an iteration runs them: (a) the fake score
//! ([`crate::method::matching::fake_step`]), whose update is in force when it scores the generator, (b) the generator, (c)
//! the heads on the same tensors. Each returns every value that it computed, and the gradients, which the caller applies.

use crate::diffusion::{ConditionPair, Denoiser, Generator, Guided, NoiseProcess};
use crate::discriminator::{Features, LatentDiscriminator, generator_loss};
use crate::error::TrainError;
use crate::method::heads::{HeadsStep, heads_step};
use crate::method::matching::GeneratorDraws;
use crate::method::tape::detached;
use crate::module::{GraphModule, ParameterGradients, Value, input_gradient, pulled_back, pulled_back_to};
use crate::recipe::HeadReduce;

use super::section::AdmGradient;

/// What the paper leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Δt on the teacher's process.
    pub dt: f64,
    /// Whether the generator's gradient passes through the fake score (register A9).
    pub gradient: AdmGradient,
    /// How heads are put together (register A7).
    pub reduce: HeadReduce,
}

/// The networks. The teacher, and with it the discriminator's backbone, is frozen.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// G_θ.
    pub generator: &'a GraphModule,
    /// Times and parameterisation of G.
    pub student: &'a Generator,
    /// f_ψ.
    pub fake_score: &'a GraphModule,
    /// F_φ.
    pub teacher: &'a Denoiser,
    /// D_τ.
    pub discriminator: &'a LatentDiscriminator,
}

impl Roles<'_> {
    /// q, the teacher's forward process.
    fn q(&self) -> &NoiseProcess {
        &self.teacher.process
    }
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
    roles: &Roles<'_>,
    conditions: &ConditionPair,
    draws: &GeneratorDraws,
    options: &Options,
) -> Result<GeneratorStep, TrainError> {
    let (q, condition, t) = (roles.q(), &conditions.conditional, &draws.times);
    let later = earlier(t, options.dt);
    let weights = draws.student_weights.as_deref();

    // Lines 15 and 16: from ẑ to x̂_tn without gradient. Line 17: x̂_0 from there, with gradient.
    let walker = roles.student.with_module(roles.generator.frozen());
    let walked = walker.walk(&draws.z, draws.call, conditions, weights, &draws.fresh)?;
    let start = walked.last().unwrap_or(&draws.z);
    let student = roles.student.with_module(roles.generator.clone());
    let predicted = student.predict(start, draws.call, conditions, weights)?;
    drop(student);

    // Line 19: x_t ~ q(x_t | x̂_0). x̂_0 begins a tape of its own, and so does x_fake; gradients are handed on between them.
    let x0 = predicted.x0.leaf();
    let x_t = q.noised(&x0, t, &draws.noise)?;

    // Line 20: x_fake, one step of f from t to t - Δt.
    let fake_score = roles.teacher.with_module(roles.fake_score.frozen());
    let seen = match options.gradient {
        AdmGradient::Full => x_t.clone(),
        AdmGradient::DetachFake => x_t.detached(),
    };
    let o_fake = fake_score.predict(&seen, t, condition)?;
    let x_fake = q.step(&o_fake, &x_t, t, &later)?;

    // Line 21: x_real, one guided step of F from the same x_t; nothing on its path is trained.
    let x_t_constant = x_t.detached();
    let o_real = roles.teacher.guided(&x_t_constant, t, conditions, &draws.weights)?;
    let x_real = q.step(&o_real.guided, &x_t_constant, t, &later)?;

    // Line 22: θ by -D(x_fake, t - Δt, c).
    let judged = x_fake.leaf();
    let features = roles.discriminator.features(&judged, &later, condition)?;
    let logits = roles.discriminator.heads.logits_of_frozen(&features)?;
    let loss = generator_loss(&logits, options.reduce)?;
    let (features, logits, value) = (detached(features), detached(logits), loss.detached());
    let grad_x_fake = input_gradient(loss, &judged, roles.discriminator.backbone())?;
    let o_fake_value = o_fake.detached();
    drop((o_fake, seen));
    let grad_x0_hat = pulled_back_to(&x_fake, &grad_x_fake, &x0, roles.fake_score)?;
    let gradients = pulled_back(&predicted.x0, &grad_x0_hat, roles.generator);
    Ok(GeneratorStep {
        walked,
        o_student: predicted.output.detached(),
        x0_hat: predicted.x0.detached(),
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

/// (c) The hinge on x_fake and x_real, both at t - Δt; the features of x_fake are those of the generator's update.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn discriminator_step(
    roles: &Roles<'_>,
    conditions: &ConditionPair,
    draws: &GeneratorDraws,
    made: &GeneratorStep,
    options: &Options,
) -> Result<HeadsStep, TrainError> {
    let later = earlier(&draws.times, options.dt);
    let real = roles.discriminator.features(&made.x_real, &later, &conditions.conditional)?;
    heads_step(roles.discriminator, &made.features, &real, options.reduce)
}

/// t - Δt.
pub fn earlier(times: &[f64], dt: f64) -> Vec<f64> {
    times.iter().map(|time| time - dt).collect()
}

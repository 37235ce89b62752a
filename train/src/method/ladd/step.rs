//! Latent adversarial diffusion distillation (LADD; Sauer et al., arXiv 2403.12015): the student cleans noised latents of its
//! teacher, and heads on the teacher's own features tell them from the latents themselves.
//!
//! Pure functions of roles, batch and draws, in the order of an iteration: generator, heads.

use crate::diffusion::{ConditionBatch, Generator, NoiseProcess};
use crate::discriminator::{Features, LatentDiscriminator, generator_loss};
use crate::error::TrainError;
use crate::method::heads::{HeadsStep, heads_step};
use crate::method::tape::detached;
use crate::module::{GraphModule, ParameterGradients, Value, input_gradient, pulled_back, pulled_back_to};
use crate::recipe::HeadReduce;

/// What the losses weigh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Weight of the mean squared error against the teacher's latent.
    pub distill_weight: f64,
    /// How heads are put together.
    pub reduce: HeadReduce,
}

/// The networks. Only the generator's and the heads' weights are trained.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// G_θ.
    pub generator: &'a GraphModule,
    /// Times and parameterisation of G.
    pub student: &'a Generator,
    /// q, the teacher's forward process, on which the heads judge.
    pub q: &'a NoiseProcess,
    /// D_τ.
    pub discriminator: &'a LatentDiscriminator,
}

/// Latents that the teacher made of prompts.
#[derive(Clone, Debug)]
pub struct Batch {
    /// x_0.
    pub x_0: Value,
    /// The prompts' conditions.
    pub condition: ConditionBatch,
}

/// Every random number of one iteration.
#[derive(Clone, Debug)]
pub struct Draws {
    /// Which call of the student every sample trains.
    pub calls: Vec<usize>,
    /// ε of the student's inputs.
    pub noise: Value,
    /// t′ on the teacher's process, one per sample; the same for fake and real.
    pub times: Vec<f64>,
    /// ε of the fakes.
    pub noise_fake: Value,
    /// ε of the real latents.
    pub noise_real: Value,
}

/// What the generator's update computed; everything but `gradients` is off the tape.
pub struct GeneratorStep {
    /// The noised latents.
    pub x_t: Value,
    /// The student's raw output.
    pub o_student: Value,
    /// x̂₀.
    pub x0_hat: Value,
    /// x̂_t′.
    pub x_fake: Value,
    /// Backbone features of `x_fake`.
    pub features: Features,
    /// Logits of the heads on `x_fake`.
    pub logits: Features,
    /// The mean squared error without its weight, where it has one.
    pub loss_distill: Option<Value>,
    /// L_G.
    pub loss: Value,
    /// dL_G/dx_fake, of the heads' part.
    pub grad_x_fake: Value,
    /// dL_G/dx̂₀.
    pub grad_x0_hat: Value,
    /// dL_G/dθ.
    pub gradients: ParameterGradients,
}

/// L_G = -D(x̂_t′, t′, c) + w mean |x̂₀ - x_0|².
///
/// # Errors
/// When shapes do not fit the networks.
pub fn generator_step(roles: &Roles<'_>, batch: &Batch, draws: &Draws, options: &Options) -> Result<GeneratorStep, TrainError> {
    // The latents noised to the student's times: nothing is walked.
    let x_t = roles.student.noised(&batch.x_0, &draws.calls, &draws.noise)?;
    let student = roles.student.with_module(roles.generator.clone());
    let predicted = student.predict_each(&x_t, &draws.calls, &batch.condition)?;
    drop(student);

    // The heads' part as a function of x̂_t′, which begins a tape of its own; gradients are handed on between them.
    let x0 = predicted.x0.leaf();
    let x_fake = roles.q.noised(&x0, &draws.times, &draws.noise_fake)?;
    let judged = x_fake.leaf();
    let features = roles.discriminator.features(&judged, &draws.times, &batch.condition)?;
    let logits = roles.discriminator.heads.logits_of_frozen(&features)?;
    let adversarial = generator_loss(&logits, options.reduce)?;
    let (features, logits, mut loss) = (detached(features), detached(logits), adversarial.detached());
    let grad_x_fake = input_gradient(adversarial, &judged, roles.discriminator.backbone())?;
    let mut grad_x0_hat = pulled_back_to(&x_fake, &grad_x_fake, &x0, roles.discriminator.backbone())?;

    let mut loss_distill = None;
    if options.distill_weight > 0.0 {
        let difference = predicted.x0.detached().minus(&batch.x_0);
        let term = difference.square().mean();
        loss = loss.plus(&term.scale(options.distill_weight));
        grad_x0_hat = grad_x0_hat.plus(&difference.scale(2.0 * options.distill_weight / difference.elements() as f64));
        loss_distill = Some(term);
    }
    let gradients = pulled_back(&predicted.x0, &grad_x0_hat, roles.generator);
    Ok(GeneratorStep {
        x_t,
        o_student: predicted.output.detached(),
        x0_hat: predicted.x0.detached(),
        x_fake: x_fake.detached(),
        features,
        logits,
        loss_distill,
        loss,
        grad_x_fake,
        grad_x0_hat,
        gradients,
    })
}

/// What the heads' update computed.
pub struct DiscriminatorStep {
    /// x_t′.
    pub x_real: Value,
    /// Of the heads.
    pub heads: HeadsStep,
}

/// The hinge on x̂_t′ and x_t′; the features of x̂_t′ are those of the generator's update.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn discriminator_step(
    roles: &Roles<'_>,
    batch: &Batch,
    draws: &Draws,
    made: &GeneratorStep,
    options: &Options,
) -> Result<DiscriminatorStep, TrainError> {
    let x_real = roles.q.noised(&batch.x_0, &draws.times, &draws.noise_real)?;
    let real = roles.discriminator.features(&x_real, &draws.times, &batch.condition)?;
    Ok(DiscriminatorStep { heads: heads_step(roles.discriminator, &made.features, &real, options.reduce)?, x_real })
}

//! Regression on ODE pairs: DMD2's start of a one-step student (arXiv 2405.14867, distillation.md 3.7.5).
//!
//! A pure function of roles and batch. It returns every value that it computed, so that a trace can be compared number by
//! number, and the gradients, which the caller applies.

use super::perceptual::Perceptual;
use crate::diffusion::{ConditionPair, Generator};
use crate::discriminator::Decoder;
use crate::error::TrainError;
use crate::module::{GraphModule, ParameterGradients, Value, input_gradient, pulled_back, pulled_back_to};

/// The networks. Only the generator's weights are trained.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// G_θ.
    pub generator: &'a GraphModule,
    /// Times and parameterisation of G.
    pub student: &'a Generator,
    /// Decoder and perceptual network; none for squared errors of latents.
    pub pixel: Option<(&'a Decoder, &'a Perceptual)>,
}

/// One batch of ODE pairs.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The teacher's latents.
    pub x_0: Value,
    /// The noise that they came from.
    pub x_t: Value,
    /// The prompts' conditions.
    pub conditions: ConditionPair,
}

/// What the update computed; everything but `gradients` is off the tape.
pub struct Step {
    /// The student's raw output.
    pub o_student: Value,
    /// x̂₀.
    pub x0_hat: Value,
    /// Where pictures are compared.
    pub pixels: Option<Pixels>,
    /// The loss.
    pub loss: Value,
    /// dL/dx̂₀.
    pub grad_x0_hat: Value,
    /// dL/dθ.
    pub gradients: ParameterGradients,
}

/// The compared pictures.
pub struct Pixels {
    /// The decoded x̂₀.
    pub fake: Value,
    /// The decoded x_0.
    pub target: Value,
    /// Their distances, one per sample.
    pub distances: Value,
    /// dL/d(decoded x̂₀).
    pub gradient: Value,
}

/// L = mean LPIPS(decode(x̂₀), decode(x_0)), or mean |x̂₀ - x_0|², with x̂₀ the student's one step from the pair's noise.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn step(roles: &Roles<'_>, batch: &Batch) -> Result<Step, TrainError> {
    let student = roles.student.with_module(roles.generator.clone());
    let predicted = student.predict(&batch.x_t, 0, &batch.conditions, None)?;
    drop(student);
    // The loss as a function of x̂₀: a tape of its own, whose gradient is handed on to the student's.
    let x0 = predicted.x0.leaf();
    let (loss, grad_x0_hat, pixels) = match roles.pixel {
        None => {
            let loss = x0.minus(&batch.x_0).square().mean();
            (loss.detached(), input_gradient(loss, &x0, roles.generator)?, None)
        }
        Some((decoder, perceptual)) => {
            let target = decoder.decode(&batch.x_0)?;
            let picture = decoder.decode(&x0)?;
            let fake = picture.leaf();
            let distances = perceptual.distances(&fake, &perceptual.features(&target)?)?;
            let loss = distances.mean();
            let (value, distances) = (loss.detached(), distances.detached());
            let gradient = input_gradient(loss, &fake, perceptual.network())?;
            let grad_x0_hat = pulled_back_to(&picture, &gradient, &x0, decoder.network())?;
            (value, grad_x0_hat, Some(Pixels { fake: fake.detached(), target, distances, gradient }))
        }
    };
    let gradients = pulled_back(&predicted.x0, &grad_x0_hat, roles.generator);
    let (o_student, x0_hat) = (predicted.output.detached(), predicted.x0.detached());
    Ok(Step { o_student, x0_hat, pixels, loss, grad_x0_hat, gradients })
}

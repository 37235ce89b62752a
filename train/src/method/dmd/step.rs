//! Distribution matching distillation (DMD): equations 4 to 6 of DMDX, after Yin et al., arXiv 2311.18828.
//!
//! A pure function of roles, batch and draws. The fake score's own update is [`crate::method::matching::fake_step`].

use crate::diffusion::{ConditionPair, Guided};
use crate::error::TrainError;
use crate::method::matching::estimate::{Direction, Estimated, estimate};
use crate::method::matching::{GeneratorDraws, Scored};
use crate::module::{ParameterGradients, Value, pulled_back};

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
    /// L_G = L_DM.
    pub loss: f64,
    /// dL_G/dx̂₀.
    pub grad_x0_hat: Value,
    /// dL_G/dθ.
    pub gradients: ParameterGradients,
}

/// One update of the student towards where the guided teacher thinks that its samples belong. Nothing is differentiated
/// through the fake score.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn generator_step(
    roles: &Scored<'_>,
    conditions: &ConditionPair,
    draws: &GeneratorDraws,
) -> Result<GeneratorStep, TrainError> {
    let Estimated { walked, predicted, x0_hat, x_t, o_fake, o_real, direction } = estimate(roles, conditions, draws)?;
    let grad_x0_hat = direction.derivative();
    let gradients = pulled_back(&predicted.x0, &grad_x0_hat, roles.generator);
    let o_student = predicted.output.detached();
    let loss = direction.loss();
    Ok(GeneratorStep { walked, o_student, x0_hat, x_t, o_fake, o_real, direction, loss, grad_x0_hat, gradients })
}

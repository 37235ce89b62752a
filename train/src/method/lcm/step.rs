//! Latent consistency distillation (Luo et al., arXiv 2310.04378, algorithm 1), with the solver step and the constants of
//! diffusers' training script.
//!
//! Pure functions of roles, batch and draws, in the order of an iteration: (a) the goal, without gradient, (b) the student. The
//! target network's average is taken after the student's update ([`crate::module::Averaged::follow`]).

use dmdx_runtime::process::Boundary;

use crate::diffusion::{ConditionBatch, ConditionPair, Denoiser, Guided};
use crate::error::TrainError;
use crate::module::{GraphModule, ParameterGradients, Value, input_gradient, pulled_back};

/// The networks. Teacher and target network are frozen. All are on the teacher's noise process.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// f_θ.
    pub generator: &'a GraphModule,
    /// f_θ⁻, the moving average of f_θ.
    pub target: &'a GraphModule,
    /// What f_θ and f_θ⁻ are called, and what they predict.
    pub student: &'a Denoiser,
    /// The teacher, whose solver gives the way.
    pub teacher: &'a Denoiser,
}

/// The constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// What makes the student the identity at the clean end.
    pub boundary: Boundary,
    /// c of the pseudo-Huber loss.
    pub huber: f64,
}

/// Every random number of one iteration.
#[derive(Clone, Debug)]
pub struct Draws {
    /// t_{n+k}, where the solver's step starts, one per sample.
    pub start: Vec<f64>,
    /// t_n, where it ends.
    pub end: Vec<f64>,
    /// ε.
    pub noise: Value,
    /// The teacher's guidance weights in the standard form, one per sample: ω + 1 of the paper.
    pub weights: Vec<f64>,
}

/// Where the student has to arrive.
pub struct Goal {
    /// x_{t_{n+k}}.
    pub x_t: Value,
    /// The teacher's raw outputs there.
    pub o_real: Guided,
    /// x̂_{t_n}, one guided step of the solver.
    pub x_prev: Value,
    /// The target network's raw output there.
    pub o_target: Value,
    /// f_θ⁻(x̂_{t_n}, c, t_n).
    pub target: Value,
}

/// (a) x_{t_{n+k}} ~ q(x | x_0), one DDIM step of the guided teacher to t_n, and what the target network says there.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn goal(
    roles: &Roles<'_>,
    x_0: &Value,
    conditions: &ConditionPair,
    draws: &Draws,
    options: &Options,
) -> Result<Goal, TrainError> {
    let (q, start, end) = (&roles.teacher.process, &draws.start, &draws.end);
    let x_t = q.noised(x_0, start, &draws.noise)?;
    let o_real = roles.teacher.guided(&x_t, start, conditions, &draws.weights)?;
    let x_prev = q.step(&o_real.guided, &x_t, start, end)?;
    let o_target = roles.student.with_module(roles.target.frozen()).predict(&x_prev, end, &conditions.conditional)?;
    let target = roles.student.process.consistent(&o_target, &x_prev, end, options.boundary)?;
    Ok(Goal { x_t, o_real, x_prev, o_target, target })
}

/// What the student's update computed; everything but `gradients` is off the tape.
pub struct StudentStep {
    /// Its raw output at x_{t_{n+k}}.
    pub o_student: Value,
    /// f_θ(x_{t_{n+k}}, c, t_{n+k}).
    pub prediction: Value,
    /// The mean over all elements of sqrt(d² + c²) - c.
    pub loss: Value,
    /// dL/df_θ.
    pub grad_prediction: Value,
    /// dL/dθ.
    pub gradients: ParameterGradients,
}

/// (b) The student's own answer at x_{t_{n+k}} against the goal, by the pseudo-Huber loss.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn student_step(
    roles: &Roles<'_>,
    goal: &Goal,
    condition: &ConditionBatch,
    draws: &Draws,
    options: &Options,
) -> Result<StudentStep, TrainError> {
    let c = options.huber;
    let output = roles.student.with_module(roles.generator.clone()).predict(&goal.x_t, &draws.start, condition)?;
    let prediction = roles.student.process.consistent(&output, &goal.x_t, &draws.start, options.boundary)?;
    let leaf = prediction.leaf();
    let loss = leaf.minus(&goal.target).square().shift(c * c).sqrt().shift(-c).mean();
    let value = loss.detached();
    let grad_prediction = input_gradient(loss, &leaf, roles.generator)?;
    let gradients = pulled_back(&prediction, &grad_prediction, roles.generator);
    Ok(StudentStep { o_student: output.detached(), prediction: prediction.detached(), loss: value, grad_prediction, gradients })
}

//! Rectified flow on pairs of noise and sample (one reflow): Liu et al., arXiv 2209.03003, equation 1, on the teacher's own
//! pairs.
//!
//! A pure function of roles, batch and draws. It returns every value that it computed, so that a trace can be compared
//! number by number, and the gradients, which the caller applies.

use crate::diffusion::Denoiser;
use crate::error::TrainError;
use crate::method::OdePairs;
use crate::module::{GraphModule, ParameterGradients, Value, input_gradient, pulled_back};

/// The networks. Only the generator's weights are trained.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// G_θ.
    pub generator: &'a GraphModule,
    /// The teacher on the line between noise and sample: what the student's network is called, and how it is told the time.
    pub line: &'a Denoiser,
}

/// What the update computed; everything but `gradients` is off the tape.
pub struct Step {
    /// The student's network times.
    pub network_times: Vec<f32>,
    /// The point on the line.
    pub x_s: Value,
    /// The student's velocity.
    pub v: Value,
    /// Where it leads.
    pub x0_hat: Value,
    /// The mean squared error of the velocity.
    pub loss: Value,
    /// dL/dv.
    pub grad_v: Value,
    /// dL/dθ.
    pub gradients: ParameterGradients,
}

/// L = mean |G(x_s, s, c) - (x_T - x_0)|² at x_s = (1 - s) x_0 + s x_T, for one line time `s` in [0, 1) per sample.
///
/// # Errors
/// When shapes do not fit the networks.
pub fn step(roles: &Roles<'_>, batch: &OdePairs, s: &[f32]) -> Result<Step, TrainError> {
    let times: Vec<f64> = s.iter().map(|&s| f64::from(s)).collect();
    let x_s = roles.line.process.noised(&batch.x_0, &times, &batch.x_t)?;
    let v = roles.line.with_module(roles.generator.clone()).predict(&x_s, &times, &batch.condition)?;
    let leaf = v.leaf();
    let loss = leaf.minus(&batch.x_t.minus(&batch.x_0)).square().mean();
    let value = loss.detached();
    let grad_v = input_gradient(loss, &leaf, roles.generator)?;
    let gradients = pulled_back(&v, &grad_v, roles.generator);
    let v = v.detached();
    Ok(Step {
        network_times: roles.line.process.network_times(&times),
        x0_hat: roles.line.process.x0(&v, &x_s, &times)?,
        x_s,
        v,
        loss: value,
        grad_v,
        gradients,
    })
}

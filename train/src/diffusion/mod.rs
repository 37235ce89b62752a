//! The diffusion core: one code path for every teacher.
//!
//! Whatever a network predicts is an affine map to the pair (x0, eps), and a step of the probability-flow ODE is one
//! affine map of (x, raw output); methods never ask which teacher they have. Coefficients are f64 and are rounded to
//! f32 once, when they meet a tensor.

mod denoiser;
mod sampler;
mod schedule;

pub(crate) use denoiser::network_inputs;
pub use denoiser::{Condition, Conditions, Denoiser, Guided};
pub use sampler::{sample, trailing_times};
pub use schedule::{Prediction, Schedule};

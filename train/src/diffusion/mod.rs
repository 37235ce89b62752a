//! The noise process on tensors: one code path for every teacher.
//!
//! Whatever a network predicts is an affine map to the pair (x0, eps), and a step of the probability-flow ODE is one
//! affine map of (x, raw output); methods never ask which teacher they have. The coefficients are those of
//! [`dmdx_runtime::process`], in f64, and are rounded to f32 once, when they meet a tensor.

mod condition;
mod denoiser;
mod generator;
mod noise_process;
mod times;

pub use condition::{ConditionBatch, ConditionPair};
pub use denoiser::{Denoiser, Guided, Ports};
pub use generator::{Generator, Prediction};
pub use noise_process::NoiseProcess;

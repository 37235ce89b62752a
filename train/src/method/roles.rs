//! What the student's output means.

use crate::diffusion::{Condition, Denoiser};
use crate::error::TrainError;
use crate::module::Value;

/// How the one-step student makes a clean latent from unit noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Student {
    /// After ADP: a velocity on the line from noise to latent, `x0 = z - G(z, time)`.
    LineVelocity {
        /// The time that the network is told, as it counts times.
        time: f64,
    },
    /// Without ADP: the teacher's own parameterisation at a table time (register A16).
    Teacher {
        /// The time of the teacher's schedule.
        time: f64,
    },
}

/// A student's prediction.
#[derive(Clone, Debug)]
pub struct OneStep {
    /// The raw output.
    pub output: Value,
    /// The clean latent.
    pub x0: Value,
}

impl Student {
    /// One step from unit noise; on the tape if the network is trained.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn sample(&self, network: &Denoiser, noise: &Value, condition: &Condition) -> Result<OneStep, TrainError> {
        let samples = noise.shape().first().copied().unwrap_or(0);
        match *self {
            Student::LineVelocity { time } => {
                let output = network.predict_at(noise, &vec![time as f32; samples], condition)?;
                Ok(OneStep { x0: noise.minus(&output), output })
            }
            Student::Teacher { time } => {
                let times = vec![time; samples];
                let output = network.predict(noise, &times, condition)?;
                Ok(OneStep { x0: network.schedule.x0(&output, noise, &times)?, output })
            }
        }
    }
}

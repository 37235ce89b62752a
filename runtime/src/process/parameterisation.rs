//! What a network's raw output means: one affine map to the clean sample and one to the noise.

use serde::{Deserialize, Serialize};

use super::{Level, ProcessError};

/// What the raw output `o` of a network at `x = alpha x0 + sigma eps` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameterisation {
    /// `o = eps`.
    Epsilon,
    /// `o = x0`.
    Sample,
    /// `o = v = alpha eps - sigma x0`; needs `alpha² + sigma² = 1`.
    VPrediction,
    /// `o = eps - x0` on the straight path `alpha = 1 - t`, `sigma = t` of a flow-matching teacher.
    Flow,
    /// `o = eps - x0` on the line between a teacher's noise and its sample, whatever the teacher's own process is: the
    /// student of adversarial pre-training and of reflow.
    LineVelocity,
}

/// `of_sample x + of_output o`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The weight of the noisy sample.
    pub of_sample: f64,
    /// The weight of the network's raw output.
    pub of_output: f64,
}

impl Affine {
    const fn new(of_sample: f64, of_output: f64) -> Self {
        Self { of_sample, of_output }
    }

    /// The map of one number.
    #[must_use]
    pub fn apply(self, sample: f64, output: f64) -> f64 {
        self.of_sample * sample + self.of_output * output
    }
}

impl Parameterisation {
    /// Whether it is defined on the straight path rather than on a noise table.
    #[must_use]
    pub fn is_straight(self) -> bool {
        match self {
            Self::Flow | Self::LineVelocity => true,
            Self::Epsilon | Self::Sample | Self::VPrediction => false,
        }
    }

    /// x0 from the noisy sample and the raw output.
    ///
    /// # Errors
    /// [`ProcessError::NoSignal`] where `alpha` is zero and the output is noise.
    pub fn original(self, Level { alpha, sigma }: Level) -> Result<Affine, ProcessError> {
        match self {
            Self::Epsilon if alpha == 0.0 => Err(ProcessError::NoSignal),
            Self::Epsilon => Ok(Affine::new(1.0 / alpha, -sigma / alpha)),
            Self::Sample => Ok(Affine::new(0.0, 1.0)),
            Self::VPrediction => Ok(Affine::new(alpha, -sigma)),
            Self::Flow | Self::LineVelocity => Ok(Affine::new(1.0, -sigma)),
        }
    }

    /// eps from the noisy sample and the raw output.
    ///
    /// # Errors
    /// [`ProcessError::NoNoise`] where `sigma` is zero and the output is the clean sample.
    pub fn noise(self, Level { alpha, sigma }: Level) -> Result<Affine, ProcessError> {
        match self {
            Self::Epsilon => Ok(Affine::new(0.0, 1.0)),
            Self::Sample if sigma == 0.0 => Err(ProcessError::NoNoise),
            Self::Sample => Ok(Affine::new(1.0 / sigma, -alpha / sigma)),
            Self::VPrediction => Ok(Affine::new(sigma, alpha)),
            Self::Flow | Self::LineVelocity => Ok(Affine::new(1.0, alpha)),
        }
    }

    /// Weights of (x0, eps) in what the network should say: the target of its training.
    #[must_use]
    pub fn target(self, Level { alpha, sigma }: Level) -> (f64, f64) {
        match self {
            Self::Epsilon => (0.0, 1.0),
            Self::Sample => (1.0, 0.0),
            Self::VPrediction => (-sigma, alpha),
            Self::Flow | Self::LineVelocity => (-1.0, 1.0),
        }
    }

    /// One step of the probability-flow ODE, `x_s = alpha_s x0 + sigma_s eps`: DDIM with eta 0, or Euler on the straight path.
    ///
    /// # Errors
    /// [`ProcessError::NoSignalToStepFrom`], [`ProcessError::NoNoise`] as for the two predictions.
    pub fn step(self, from: Level, to: Level) -> Result<Affine, ProcessError> {
        let Level { alpha, sigma } = from;
        match self {
            Self::Epsilon if alpha == 0.0 => Err(ProcessError::NoSignalToStepFrom),
            Self::Epsilon => Ok(Affine::new(to.alpha / alpha, to.sigma - to.alpha / alpha * sigma)),
            Self::Sample => {
                let noise = self.noise(from)?;
                Ok(Affine::new(to.sigma * noise.of_sample, to.alpha + to.sigma * noise.of_output))
            }
            Self::VPrediction => Ok(Affine::new(to.alpha * alpha + to.sigma * sigma, to.sigma * alpha - to.alpha * sigma)),
            Self::Flow | Self::LineVelocity => Ok(Affine::new(1.0, to.sigma - sigma)),
        }
    }
}

//! The steps of a sampler: every parameterisation is one affine map of the sample and the network's raw output
//! (distillation.md, section 1), with coefficients in f64.

use crate::bundle::manifest::{Manifest, Parameterisation, Schedule};

use crate::{Error, Tensor};

/// One call of the network and the map x_s = `keep` x_t + `add` o that follows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The time fed to the network.
    pub time: f64,
    /// A of x_s = A x_t + B o.
    pub keep: f64,
    /// B of x_s = A x_t + B o.
    pub add: f64,
}

impl Step {
    /// x_s from x_t and the raw output, each element in f64 and rounded once.
    ///
    /// # Errors
    /// [`Error::Shape`] if the two differ in shape.
    pub fn apply(&self, sample: &Tensor, output: &Tensor) -> Result<Tensor, Error> {
        combine(sample, output, self.keep, self.add)
    }
}

/// o = u + w (c - u): classifier-free guidance in the standard form (Ho and Salimans).
///
/// # Errors
/// [`Error::Shape`] if the two differ in shape.
pub fn guide(unconditional: &Tensor, conditional: &Tensor, scale: f64) -> Result<Tensor, Error> {
    combine(unconditional, conditional, 1.0 - scale, scale)
}

fn combine(a: &Tensor, b: &Tensor, weight_a: f64, weight_b: f64) -> Result<Tensor, Error> {
    if a.shape() != b.shape() {
        return Err(Error::Shape(format!("the network made {:?} from {:?}, which cannot be added", b.shape(), a.shape())));
    }
    let pairs = a.floats()?.iter().zip(b.floats()?);
    Tensor::f32(a.shape(), pairs.map(|(&a, &b)| (weight_a * f64::from(a) + weight_b * f64::from(b)) as f32).collect())
}

/// The steps of a bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    steps: Vec<Step>,
}

impl Sampler {
    /// The steps that a valid manifest describes; the last one ends at the clean sample.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        let forward = ForwardProcess::new(&manifest.schedule);
        let times = &manifest.steps;
        let steps = times.iter().enumerate().map(|(index, &time)| {
            let from = forward.at(time);
            let to = times.get(index + 1).map_or((1.0, 0.0), |&next| forward.at(next));
            let (keep, add) = affine(manifest.parameterisation, from, to);
            Step { time, keep, add }
        });
        Self { steps: steps.collect() }
    }

    /// The steps in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// A and B of x_s = A x_t + B o from (alpha_t, sigma_t) to (alpha_s, sigma_s): the probability-flow step, DDIM for DDPM
/// models, Euler for flow models. The line's one step from t = T is x0 = z - o, whatever the schedule.
#[must_use]
pub fn affine(parameterisation: Parameterisation, (alpha_t, sigma_t): (f64, f64), (alpha_s, sigma_s): (f64, f64)) -> (f64, f64) {
    match parameterisation {
        Parameterisation::Epsilon => (alpha_s / alpha_t, sigma_s - alpha_s * sigma_t / alpha_t),
        Parameterisation::VPrediction => (alpha_s * alpha_t + sigma_s * sigma_t, sigma_s * alpha_t - alpha_s * sigma_t),
        Parameterisation::Flow => (1.0, sigma_s - sigma_t),
        Parameterisation::LineVelocity => (1.0, -1.0),
    }
}

/// (alpha, sigma) of a schedule at every time.
#[derive(Debug, Clone, PartialEq)]
pub enum ForwardProcess {
    /// The running product of 1 - beta, by index.
    Discrete(Vec<f64>),
    /// alpha = 1 - t / scale, sigma = t / scale.
    Straight {
        /// The time at sigma = 1.
        scale: f64,
    },
}

impl ForwardProcess {
    /// Tabulates a schedule.
    #[must_use]
    pub fn new(schedule: &Schedule) -> Self {
        match *schedule {
            Schedule::ScaledLinear { beta_start, beta_end, num_train_timesteps } => {
                let (first, last) = (beta_start.sqrt(), beta_end.sqrt());
                let step = (last - first) / (num_train_timesteps.max(2) - 1) as f64;
                let mut product = 1.0;
                let bars = (0..num_train_timesteps).map(|index| {
                    let root = first + step * index as f64;
                    product *= 1.0 - root * root;
                    product
                });
                Self::Discrete(bars.collect())
            }
            Schedule::Flow { num_train_timesteps } => Self::Straight { scale: num_train_timesteps as f64 },
        }
    }

    /// (alpha, sigma) at the time fed to the network, clamped to the schedule.
    #[must_use]
    pub fn at(&self, time: f64) -> (f64, f64) {
        match self {
            Self::Discrete(bars) => {
                let bar = bars.get(time as usize).or(bars.last()).copied().unwrap_or(1.0);
                (bar.sqrt(), (1.0 - bar).sqrt())
            }
            Self::Straight { scale } => {
                let sigma = (time / scale).clamp(0.0, 1.0);
                (1.0 - sigma, sigma)
            }
        }
    }
}

//! Noise levels and the affine maps between x0, noise, raw outputs and the steps of the probability-flow ODE.

use dmdx_runtime::scheduler::noise_table;
use serde_json::{Value as Json, json};

use crate::error::TrainError;
use crate::module::Value;

/// What a network's raw output `o` means at `x_t = alpha x0 + sigma eps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// `o = eps`.
    Epsilon,
    /// `o = alpha eps - sigma x0`; needs `alpha² + sigma² = 1`.
    Velocity,
    /// `o = eps - x0` on `alpha = 1 - t`, `sigma = t`.
    Flow,
}

/// The teacher's forward process and what its network predicts. Times are table indices, or `0..=1` for flow models.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    prediction: Prediction,
    /// `alpha²` by index; empty for flow models.
    alpha_squared: Vec<f64>,
}

impl Schedule {
    /// The table of Stable Diffusion 1 to XL: 1000 betas from 0.00085 to 0.012, linear in the square root.
    ///
    /// # Errors
    /// When the table is refused, which would be a defect of this program.
    pub fn stable_diffusion(prediction: Prediction) -> Result<Self, TrainError> {
        let config = json!({
            "_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        });
        Ok(Self { prediction, alpha_squared: alpha_squared(&config)? })
    }

    /// The straight path of flow matching.
    pub fn flow() -> Self {
        Self { prediction: Prediction::Flow, alpha_squared: Vec::new() }
    }

    /// The schedule of a `scheduler_config.json`.
    ///
    /// # Errors
    /// When it asks for something that is not implemented.
    pub fn from_config(config: &Json) -> Result<Self, TrainError> {
        if config["_class_name"] == "FlowMatchEulerDiscreteScheduler" {
            return Ok(Self::flow());
        }
        let class = config["_class_name"].as_str().unwrap_or_default();
        if class.starts_with("FlowMatch") || class.starts_with("EDM") {
            return Err(TrainError::Invalid(format!(
                "the teacher's scheduler is {class}, whose noise levels are not supported yet"
            )));
        }
        let prediction = match config["prediction_type"].as_str().unwrap_or("epsilon") {
            "epsilon" => Prediction::Epsilon,
            "v_prediction" => Prediction::Velocity,
            other => {
                let reason = "but epsilon and v_prediction are supported";
                return Err(TrainError::Invalid(format!("the teacher's scheduler has prediction_type = {other}, {reason}")));
            }
        };
        Ok(Self { prediction, alpha_squared: alpha_squared(config)? })
    }

    /// What the network predicts.
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// How many table times there are; `None` for continuous time.
    pub fn steps(&self) -> Option<usize> {
        (!self.alpha_squared.is_empty()).then_some(self.alpha_squared.len())
    }

    /// `(alpha, sigma)` at a time.
    ///
    /// # Errors
    /// When the time is not on the schedule.
    pub fn levels(&self, time: f64) -> Result<(f64, f64), TrainError> {
        let outside = || TrainError::Invalid(format!("time {time} is not on the teacher's schedule"));
        match self.steps() {
            None if (0.0..=1.0).contains(&time) => Ok((1.0 - time, time)),
            None => Err(outside()),
            Some(count) if time.fract() == 0.0 && time >= 0.0 && time < count as f64 => {
                let alpha_squared = self.alpha_squared[time as usize];
                Ok((alpha_squared.sqrt(), (1.0 - alpha_squared).sqrt()))
            }
            Some(_) => Err(outside()),
        }
    }

    /// What the network is told the time is: the index, or `1000 t` for flow models.
    pub fn network_time(&self, time: f64) -> f32 {
        match self.steps() {
            Some(_) => time as f32,
            None => (1000.0 * time) as f32,
        }
    }

    /// The forward process: `q(x_t | x_0)` with the given noise, one time per sample.
    ///
    /// # Errors
    /// When a time is not on the schedule, or there are not as many as samples.
    pub fn noised(&self, x0: &Value, times: &[f64], noise: &Value) -> Result<Value, TrainError> {
        let (alphas, sigmas) = self.all_levels(times)?;
        Ok(x0.per_sample(&alphas)?.plus(&noise.per_sample(&sigmas)?))
    }

    /// `x0` from the raw output.
    ///
    /// # Errors
    /// As [`Schedule::noised`]; also where `alpha` is zero and the output is noise.
    pub fn x0(&self, output: &Value, x: &Value, times: &[f64]) -> Result<Value, TrainError> {
        self.combined(output, x, times, |prediction, alpha, sigma| match prediction {
            Prediction::Epsilon => (1.0 / alpha, -sigma / alpha),
            Prediction::Velocity => (alpha, -sigma),
            Prediction::Flow => (1.0, -sigma),
        })
    }

    /// The noise from the raw output.
    ///
    /// # Errors
    /// As [`Schedule::noised`].
    pub fn noise(&self, output: &Value, x: &Value, times: &[f64]) -> Result<Value, TrainError> {
        self.combined(output, x, times, |prediction, alpha, sigma| match prediction {
            Prediction::Epsilon => (0.0, 1.0),
            Prediction::Velocity => (sigma, alpha),
            Prediction::Flow => (1.0, alpha),
        })
    }

    /// What the network should have said about `x0` and `noise`: the target of its training loss.
    ///
    /// # Errors
    /// As [`Schedule::noised`].
    pub fn target(&self, x0: &Value, times: &[f64], noise: &Value) -> Result<Value, TrainError> {
        let (alphas, sigmas) = self.all_levels(times)?;
        match self.prediction {
            Prediction::Epsilon => Ok(noise.clone()),
            Prediction::Velocity => Ok(noise.per_sample(&alphas)?.minus(&x0.per_sample(&sigmas)?)),
            Prediction::Flow => Ok(noise.minus(x0)),
        }
    }

    /// `(A, B)` of the probability-flow step `x_s = A x_t + B o`: `x_s = alpha_s x0 + sigma_s eps`.
    ///
    /// # Errors
    /// When a time is not on the schedule, or it starts from noise that the network says is noise.
    pub fn step_coefficients(&self, from: f64, to: f64) -> Result<(f64, f64), TrainError> {
        let ((alpha, sigma), (alpha_to, sigma_to)) = (self.levels(from)?, self.levels(to)?);
        if self.prediction == Prediction::Epsilon && alpha == 0.0 {
            return Err(TrainError::Invalid("a step from predicted noise cannot start where alpha is 0".into()));
        }
        Ok(match self.prediction {
            Prediction::Epsilon => (alpha_to / alpha, sigma_to - alpha_to / alpha * sigma),
            Prediction::Velocity => (alpha_to * alpha + sigma_to * sigma, sigma_to * alpha - alpha_to * sigma),
            Prediction::Flow => (1.0, to - from),
        })
    }

    /// One step of the probability-flow ODE (DDIM, Euler) from the raw output, one pair of times per sample.
    ///
    /// # Errors
    /// As [`Schedule::noised`].
    pub fn step(&self, output: &Value, x: &Value, from: &[f64], to: &[f64]) -> Result<Value, TrainError> {
        let pairs = from.iter().zip(to).map(|(&from, &to)| self.step_coefficients(from, to));
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(x.per_sample(&a)?.plus(&output.per_sample(&b)?))
    }

    fn all_levels(&self, times: &[f64]) -> Result<(Vec<f64>, Vec<f64>), TrainError> {
        let levels = times.iter().map(|&time| self.levels(time)).collect::<Result<Vec<_>, _>>()?;
        Ok(levels.into_iter().unzip())
    }

    fn combined(
        &self,
        output: &Value,
        x: &Value,
        times: &[f64],
        coefficients: impl Fn(Prediction, f64, f64) -> (f64, f64),
    ) -> Result<Value, TrainError> {
        let (alphas, sigmas) = self.all_levels(times)?;
        if self.prediction == Prediction::Epsilon && alphas.contains(&0.0) {
            return Err(TrainError::Invalid("x0 cannot be computed from noise where alpha is 0".into()));
        }
        let pairs = alphas.iter().zip(&sigmas).map(|(&alpha, &sigma)| coefficients(self.prediction, alpha, sigma));
        let (of_x, of_output): (Vec<f64>, Vec<f64>) = pairs.unzip();
        Ok(x.per_sample(&of_x)?.plus(&output.per_sample(&of_output)?))
    }
}

/// `alpha²` of every time of a `scheduler_config.json`.
fn alpha_squared(config: &Json) -> Result<Vec<f64>, TrainError> {
    noise_table(config).map_err(|error| TrainError::component("reading the teacher's scheduler", error))
}

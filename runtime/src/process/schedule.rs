//! A noise process as files state it: data that is checked when it becomes a [`Process`].

use serde::{Deserialize, Serialize};

use super::noise_table::{Betas, MOST_ENTRIES, NoiseTable};
use super::rollout::{Rollout, StepRule};
use super::{Parameterisation, Process, ProcessError, Rounding};

/// What a noise process is stated by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stated", into = "Stated")]
pub enum NoiseSchedule {
    /// A noise table.
    Table(NoiseTable),
    /// The straight path of flow matching.
    Flow {
        /// What the network is told at the noisy end.
        num_train_timesteps: usize,
        /// How far sampling times are moved to the noisy end; 1 is none.
        shift: f64,
    },
}

impl NoiseSchedule {
    /// The table of Stable Diffusion 1 to XL: betas of which the square root runs evenly.
    #[must_use]
    pub fn scaled_linear(beta_start: f64, beta_end: f64, num_train_timesteps: usize) -> Self {
        let betas = Betas::ScaledLinear { start: beta_start, end: beta_end, count: num_train_timesteps };
        Self::Table(NoiseTable::of(betas))
    }

    /// The straight path, told 1000 at its noisy end and without a shift.
    #[must_use]
    pub fn flow() -> Self {
        Self::Flow { num_train_timesteps: 1000, shift: 1.0 }
    }

    /// The walk of a network on this process along `times`, as it is told them.
    ///
    /// # Errors
    /// [`ProcessError`] for a prediction and times that do not go with the process, or with one another.
    pub fn rollout(&self, parameterisation: Parameterisation, times: &[f64], rule: StepRule) -> Result<Rollout, ProcessError> {
        let process = match parameterisation {
            // The first time stands for pure noise on the line, whatever the teacher's table has there.
            Parameterisation::LineVelocity => Process::line(times.first().copied().unwrap_or_default()),
            own @ (Parameterisation::Epsilon
            | Parameterisation::Sample
            | Parameterisation::VPrediction
            | Parameterisation::Flow) => self.process(own)?,
        };
        Rollout::new(process, times, rule)
    }

    /// The process of a teacher whose network predicts this.
    ///
    /// # Errors
    /// [`ProcessError::Table`] for values that make no process, [`ProcessError::Mismatch`] for a prediction that goes with
    /// another kind of process.
    pub fn process(&self, parameterisation: Parameterisation) -> Result<Process, ProcessError> {
        match (self, parameterisation) {
            (Self::Table(table), Parameterisation::Epsilon | Parameterisation::Sample | Parameterisation::VPrediction) => {
                Ok(Process::with_table(parameterisation, table.alphas_cumprod(Rounding::Double)?))
            }
            (&Self::Flow { num_train_timesteps: count, shift }, Parameterisation::Flow) => {
                let refuse = |key, problem: String| Err(ProcessError::Table { key, problem });
                if !(1..=MOST_ENTRIES).contains(&count) {
                    return refuse("num_train_timesteps", format!("but an integer from 1 to {MOST_ENTRIES} is needed"));
                }
                if !(shift > 0.0 && shift.is_finite()) {
                    return refuse("shift", "but a positive number is needed".into());
                }
                Ok(Process::flow_told(shift, count as f64))
            }
            (Self::Table(_), Parameterisation::Flow | Parameterisation::LineVelocity)
            | (
                Self::Flow { .. },
                Parameterisation::Epsilon
                | Parameterisation::Sample
                | Parameterisation::VPrediction
                | Parameterisation::LineVelocity,
            ) => Err(ProcessError::Mismatch { parameterisation }),
        }
    }
}

/// The kind of a schedule, as diffusers calls the betas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    ScaledLinear,
    Linear,
    SquaredcosCapV2,
    TrainedBetas,
    Flow,
}

/// The form in files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    r#type: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta_start: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta_end: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained_betas: Option<Vec<f64>>,
    num_train_timesteps: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shift: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snr_shift_scale: Option<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    rescale_betas_zero_snr: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_alphas_cumprod: Option<f64>,
}

impl From<NoiseSchedule> for Stated {
    fn from(schedule: NoiseSchedule) -> Self {
        let mut stated = Self {
            r#type: Kind::Flow,
            beta_start: None,
            beta_end: None,
            trained_betas: None,
            num_train_timesteps: 0,
            shift: None,
            snr_shift_scale: None,
            rescale_betas_zero_snr: false,
            last_alphas_cumprod: None,
        };
        match schedule {
            NoiseSchedule::Flow { num_train_timesteps, shift } => {
                stated.num_train_timesteps = num_train_timesteps;
                stated.shift = (shift != 1.0).then_some(shift);
            }
            NoiseSchedule::Table(table) => {
                stated.num_train_timesteps = table.count();
                stated.snr_shift_scale = table.snr_shift_scale;
                stated.rescale_betas_zero_snr = table.rescale_betas_zero_snr;
                stated.last_alphas_cumprod = table.last_alphas_cumprod;
                stated.r#type = match table.betas {
                    Betas::ScaledLinear { start, end, .. } => {
                        (stated.beta_start, stated.beta_end) = (Some(start), Some(end));
                        Kind::ScaledLinear
                    }
                    Betas::Linear { start, end, .. } => {
                        (stated.beta_start, stated.beta_end) = (Some(start), Some(end));
                        Kind::Linear
                    }
                    Betas::SquaredCosine { .. } => Kind::SquaredcosCapV2,
                    Betas::Trained(betas) => {
                        stated.trained_betas = Some(betas);
                        Kind::TrainedBetas
                    }
                };
            }
        }
        stated
    }
}

impl TryFrom<Stated> for NoiseSchedule {
    type Error = String;

    fn try_from(stated: Stated) -> Result<Self, String> {
        let count = stated.num_train_timesteps;
        let range = (stated.beta_start, stated.beta_end);
        let is_corrected = stated.snr_shift_scale.is_some() || stated.last_alphas_cumprod.is_some();
        let misfit = || format!("a schedule of type {:?} lacks a value of its own or has one of another type", stated.r#type);
        let betas = match (stated.r#type, range, &stated.trained_betas) {
            (Kind::Flow, (None, None), None) if !is_corrected && !stated.rescale_betas_zero_snr => {
                return Ok(Self::Flow { num_train_timesteps: count, shift: stated.shift.unwrap_or(1.0) });
            }
            (Kind::ScaledLinear, (Some(start), Some(end)), None) => Betas::ScaledLinear { start, end, count },
            (Kind::Linear, (Some(start), Some(end)), None) => Betas::Linear { start, end, count },
            (Kind::SquaredcosCapV2, (None, None), None) => Betas::SquaredCosine { count },
            (Kind::TrainedBetas, (None, None), Some(betas)) if betas.len() == count => Betas::Trained(betas.clone()),
            (Kind::Flow | Kind::ScaledLinear | Kind::Linear | Kind::SquaredcosCapV2 | Kind::TrainedBetas, ..) => {
                return Err(misfit());
            }
        };
        if stated.shift.is_some() {
            return Err("a schedule with betas has no shift".into());
        }
        Ok(Self::Table(NoiseTable {
            betas,
            snr_shift_scale: stated.snr_shift_scale,
            rescale_betas_zero_snr: stated.rescale_betas_zero_snr,
            last_alphas_cumprod: stated.last_alphas_cumprod,
        }))
    }
}

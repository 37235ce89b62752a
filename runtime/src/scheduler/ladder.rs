//! The times and sigmas of the multistep solvers: a noise table's, Karras', or those of the straight path.

use serde_json::Value;

use super::config::Config;
use super::method::{Run, no_shift};
use super::sigma::{interpolate, karras, straight, terminated, time_of};
use super::spacing::{Spacing, Times, bounded};
use super::table::{self, Correction};
use crate::Error;
use crate::error::SchedulerError;
use crate::process::spacing::{leading, linspace, trailing};
use crate::process::{Level, Parameterisation};

/// The keys of a ladder.
pub(super) const KEYS: &[&str] = &[
    "prediction_type",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_flow_sigmas",
    "flow_shift",
    "use_dynamic_shifting",
    "time_shift_type",
    "final_sigmas_type",
    "thresholding",
    "dynamic_thresholding_ratio",
    "sample_max_value",
    "rescale_betas_zero_snr",
];

/// Where a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// At the clean sample.
    Zero,
    /// At this sigma.
    At(f64),
    /// At the last sigma once more.
    Last,
}

/// The noise levels of a multistep solver.
#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) prediction: Parameterisation,
    times: Times,
    pub(super) bars: Vec<f64>,
    /// By training time, rising.
    pub(super) sigmas: Vec<f64>,
    karras: bool,
    /// The shift of the straight path, for which sigma is the share of noise instead of its ratio to the signal.
    flow: Option<f64>,
    /// Training times from this one on are not used.
    pub(super) first: usize,
    pub(super) end: End,
}

impl Ladder {
    /// Reads the keys; a class may change where the run begins and ends.
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        config.unset(&["thresholding", "use_exponential_sigmas", "use_beta_sigmas", "use_dynamic_shifting"])?;
        let bars = table::alphas_cumprod(config, Correction::Lifted)?;
        let flow = is_flow(config)?.then(|| config.number("flow_shift", 1.0)).transpose()?;
        if flow.is_some_and(|shift| shift <= 0.0) {
            return Err(config.refuse("flow_shift", "but a positive number is needed"));
        }
        let karras = config.flag("use_karras_sigmas", false)?;
        if karras && flow.is_some() {
            return Err(config.refuse("use_flow_sigmas", "which does not go with use_karras_sigmas"));
        }
        let sigmas = table::sigmas(&bars);
        let zero = config.choice("final_sigmas_type", "zero", &[("zero", true), ("sigma_min", false)])?;
        Ok(Self {
            prediction: prediction(config)?,
            times: Times::new(config, "linspace", bars.len())?,
            karras,
            flow,
            first: bars.len(),
            end: if zero { End::Zero } else { End::At(sigmas[0]) },
            bars,
            sigmas,
        })
    }

    /// The times and sigmas of a run.
    pub(super) fn run(&self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        let (timesteps, sigmas) = if let Some(shift) = self.flow {
            bounded(steps, self.times.count)?;
            let sigmas = straight(shift, self.times.count, steps);
            (sigmas.iter().map(|sigma| (sigma * self.times.count as f64).trunc()).collect(), sigmas)
        } else if self.karras {
            bounded(steps, self.first - 1)?;
            let (low, high) = (self.sigmas[0], self.sigmas[self.sigmas.len() - 1]);
            let sigmas = karras(low, high, steps);
            (sigmas.iter().map(|&sigma| time_of(sigma, &self.sigmas).round_ties_even()).collect(), sigmas)
        } else {
            let timesteps = self.timesteps(steps)?;
            let sigmas = interpolate(&timesteps, &self.sigmas);
            (timesteps, sigmas)
        };
        if timesteps.get(1).is_some() && timesteps.get(1) == timesteps.first() {
            return Err(SchedulerError::TwoFirstTimes { steps }.into());
        }
        let last = match self.end {
            End::Zero => 0.0,
            End::At(sigma) => sigma,
            End::Last => sigmas.last().copied().unwrap_or_default(),
        };
        Ok(Run { steps, timesteps, sigmas: terminated(sigmas, last) })
    }

    fn timesteps(&self, steps: usize) -> Result<Vec<f64>, Error> {
        bounded(steps, self.first - 1)?;
        Ok(match self.times.spacing {
            Spacing::Linspace => {
                let line = linspace(0.0, (self.first - 1) as f64, steps + 1);
                line.into_iter().skip(1).rev().map(f64::round_ties_even).collect()
            }
            Spacing::Leading => {
                let mut times = leading(self.times.offset, self.first / (steps + 1), steps + 1);
                times.truncate(steps);
                times
            }
            Spacing::Trailing => trailing(self.times.count, self.first, steps),
        })
    }

    /// The mixture at a place of a run's sigmas.
    pub(super) fn level(&self, run: &Run, place: usize) -> Level {
        let sigma = run.sigma(place);
        if self.flow.is_some() { Level { alpha: 1.0 - sigma, sigma } } else { Level::of_ratio(sigma) }
    }

    /// Whether karras' spacing is used with a table of this name.
    pub(super) fn refuse_karras(&self, config: &Config, schedule: &str) -> Result<(), Error> {
        if self.karras && config.get("beta_schedule").and_then(Value::as_str) == Some(schedule) {
            return Err(config.refuse("use_karras_sigmas", &format!("which is not supported with beta_schedule = {schedule}")));
        }
        Ok(())
    }

    /// Whether the last sigma is one of the run's own.
    pub(super) fn ends_at_its_own(&self) -> bool {
        self.karras || self.flow.is_some()
    }
}

/// Half the logarithm of the signal-to-noise ratio; infinite at the clean sample.
pub(super) fn lambda(level: Level) -> f64 {
    level.alpha.ln() - level.sigma.ln()
}

/// `use_flow_sigmas`.
pub(super) fn is_flow(config: &Config) -> Result<bool, Error> {
    config.flag("use_flow_sigmas", false)
}

/// `prediction_type`; that of flow matching goes with the straight path.
pub(super) fn prediction(config: &Config) -> Result<Parameterisation, Error> {
    if config.get("prediction_type").and_then(Value::as_str) != Some("flow_prediction") {
        return table::prediction(config);
    }
    match is_flow(config)? {
        true => Ok(Parameterisation::Flow),
        false => Err(config.refuse("prediction_type", "which needs use_flow_sigmas = true")),
    }
}

//! CogVideoXDDIMScheduler: DDIM on a table whose signal-to-noise ratio is shifted and ends at zero.

use super::config::Config;
use super::ddim::{earlier, final_bar};
use super::method::{Given, Method, Plan, entry, no_shift, table_levels};
use super::spacing::{self, Times};
use super::table::{self, Family, Precision};
use super::values::{Prediction, Stepped, each};
use crate::Error;

/// The class reads the clipping keys and never clips.
pub(super) const KEYS: &[&[&str]] = &[
    table::KEYS,
    spacing::KEYS,
    &[
        "prediction_type",
        "clip_sample",
        "clip_sample_range",
        "sample_max_value",
        "set_alpha_to_one",
        "rescale_betas_zero_snr",
        "snr_shift_scale",
    ],
];

#[derive(Debug)]
struct CogVideoXDdim {
    settings: Settings,
}

/// What both CogVideoX schedulers are built from.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) prediction: Prediction,
    pub(super) times: Times,
    pub(super) bars: Vec<f64>,
    /// `alpha²` below time 0.
    pub(super) last: f64,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let bars = table::cumulative(config, Family::CogVideoX, Precision::Reference)?;
        Ok(Self {
            prediction: Prediction::new(config)?,
            times: Times::new(config, "leading", bars.len())?,
            last: final_bar(config, &bars, true)?,
            bars,
        })
    }

    /// The times of a run.
    pub(super) fn plan(&self, steps: usize, mu: Option<f64>) -> Result<Plan, Error> {
        no_shift(mu)?;
        Ok(Plan { steps, timesteps: self.times.whole(steps)?, sigmas: Vec::new() })
    }

    /// `alpha²` at a step and where it leads; `None` there once the time is below 0.
    pub(super) fn bars_at(&self, plan: &Plan, index: usize) -> Result<(f64, Option<f64>), Error> {
        let time = plan.time(index).unwrap_or_default();
        let bar = entry(&self.bars, time)?;
        self.prediction.check(bar, time, None)?;
        let to = time - (self.times.count / plan.steps) as f64;
        Ok((bar, if to < 0.0 { None } else { Some(earlier(&self.bars, to, self.last)?) }))
    }
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    Ok(Box::new(CogVideoXDdim { settings: Settings::new(config)? }))
}

impl Method for CogVideoXDdim {
    fn plan(&mut self, steps: usize, mu: Option<f64>) -> Result<Plan, Error> {
        self.settings.plan(steps, mu)
    }

    fn step(&mut self, plan: &Plan, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (bar, next) = self.settings.bars_at(plan, index)?;
        let next = next.unwrap_or(self.settings.last);
        let prediction = self.settings.prediction;
        let of_sample = ((1.0 - next) / (1.0 - bar)).sqrt();
        let of_original = next.sqrt() - bar.sqrt() * of_sample;
        each(given.sample, given.output, None, |x, output, _| {
            let original = prediction.original(bar, x, output);
            (of_sample * x + of_original * original, original)
        })
    }

    fn levels(&self, _plan: &Plan, time: f64) -> Result<(f64, f64), Error> {
        table_levels(&self.settings.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.settings.bars)
    }
}

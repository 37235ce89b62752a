//! CogVideoXDDIMScheduler: DDIM on a table whose signal-to-noise ratio is shifted and ends at zero.

use super::config::Config;
use super::ddim::{earlier, final_bar};
use super::method::{Given, Method, Run, entry, no_shift, table_level};
use super::spacing::{self, Times};
use super::table::{self, Correction};
use super::values::{Original, Stepped, each};
use crate::Error;
use crate::process::{Level, Parameterisation};

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
    pub(super) prediction: Parameterisation,
    pub(super) times: Times,
    pub(super) bars: Vec<f64>,
    /// `alpha²` below time 0.
    pub(super) last: f64,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let bars = table::alphas_cumprod(config, Correction::Shifted)?;
        Ok(Self {
            prediction: table::prediction(config)?,
            times: Times::new(config, "leading", bars.len())?,
            last: final_bar(config, &bars, true)?,
            bars,
        })
    }

    /// The times of a run.
    pub(super) fn run(&self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        Ok(Run { steps, timesteps: self.times.whole(steps)?, sigmas: Vec::new() })
    }

    /// `alpha²` at a step and where it leads; `None` there once the time is below 0.
    pub(super) fn bars_at(&self, run: &Run, index: usize) -> Result<(f64, Option<f64>), Error> {
        let time = run.time(index).unwrap_or_default();
        let to = time - (self.times.count / run.steps) as f64;
        let next = if to < 0.0 { None } else { Some(earlier(&self.bars, to, self.last)?) };
        Ok((entry(&self.bars, time)?, next))
    }

    /// x0 as a step sees it.
    pub(super) fn original(&self, run: &Run, index: usize, bar: f64) -> Result<Original, Error> {
        let time = run.time(index).unwrap_or_default();
        Original::new(self.prediction, Level::of_alpha_squared(bar), time, None)
    }
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    Ok(Box::new(CogVideoXDdim { settings: Settings::new(config)? }))
}

impl Method for CogVideoXDdim {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        self.settings.run(steps, mu)
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (bar, next) = self.settings.bars_at(run, index)?;
        let next = next.unwrap_or(self.settings.last);
        let original = self.settings.original(run, index, bar)?;
        let of_sample = ((1.0 - next) / (1.0 - bar)).sqrt();
        let of_original = next.sqrt() - bar.sqrt() * of_sample;
        each(given.sample, given.output, None, |x, output, _| {
            let original = original.of(x, output);
            (of_sample * x + of_original * original, original)
        })
    }

    fn level(&self, _run: &Run, time: f64) -> Result<Level, Error> {
        table_level(&self.settings.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.settings.bars)
    }
}

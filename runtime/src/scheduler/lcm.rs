//! LCMScheduler: consistency steps; each jumps to x0 and back to the next time with new noise (arXiv 2310.04378).

use super::config::Config;
use super::ddim::final_bar;
use super::method::{Given, Method, Run, entry, no_shift, table_level};
use super::spacing::{self, bounded};
use super::table::{self, Correction};
use super::values::{self, Original, Stepped, each};
use crate::Error;
use crate::process::spacing::consistent;
use crate::process::{Boundary, Level, Parameterisation};

pub(super) const KEYS: &[&[&str]] = &[table::KEYS, spacing::KEYS, OWN_KEYS];

/// Besides the table's and the spacing's; TCD has the same.
pub(super) const OWN_KEYS: &[&str] = &[
    "prediction_type",
    "original_inference_steps",
    "timestep_scaling",
    "clip_sample",
    "clip_sample_range",
    "set_alpha_to_one",
    "thresholding",
    "dynamic_thresholding_ratio",
    "sample_max_value",
    "rescale_betas_zero_snr",
];

#[derive(Debug)]
struct Lcm {
    prediction: Parameterisation,
    bars: Vec<f64>,
    /// Steps of the solver that the student was distilled with.
    original_steps: usize,
    boundary: Boundary,
    clip: Option<f64>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let bars = table::alphas_cumprod(config, Correction::Rescaled)?;
    // Read for their types only: the class spaces its times its own way and never steps below time 0.
    spacing::Times::new(config, "leading", bars.len())?;
    final_bar(config, &bars, true)?;
    Ok(Box::new(Lcm {
        prediction: table::prediction(config)?,
        original_steps: config.integer("original_inference_steps", 50, 1, bars.len())?,
        boundary: Boundary::new(config.number("timestep_scaling", 10.0)?),
        clip: values::clip(config, false)?,
        bars,
    }))
}

/// `steps` of the `original_steps` times of a distillation, counted from the noisy end, for a table of `count` entries.
pub(super) fn timesteps(count: usize, original_steps: usize, steps: usize) -> Result<Vec<f64>, Error> {
    bounded(steps, original_steps)?;
    let ratio = count / original_steps;
    Ok(consistent(original_steps, steps).map(|place| ((original_steps - place) * ratio) as f64 - 1.0).collect())
}

impl Method for Lcm {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        let timesteps = timesteps(self.bars.len(), self.original_steps, steps)?;
        Ok(Run { steps, timesteps, sigmas: Vec::new() })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let time = run.time(index).unwrap_or_default();
        let bar = entry(&self.bars, time)?;
        let original = Original::new(self.prediction, Level::of_alpha_squared(bar), time, self.clip)?;
        let (of_sample, of_original) = self.boundary.scalings(time);
        let Level { alpha, sigma } = match run.time(index + 1) {
            Some(next) => table_level(&self.bars, next)?,
            None => Level::CLEAN,
        };
        each(given.sample, given.output, given.noise, |x, output, noise| {
            let denoised = of_original * original.of(x, output) + of_sample * x;
            (alpha * denoised + sigma * noise, denoised)
        })
    }

    fn level(&self, _run: &Run, time: f64) -> Result<Level, Error> {
        table_level(&self.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }

    fn draws(&self, run: &Run, index: usize) -> bool {
        index + 1 < run.timesteps.len()
    }
}

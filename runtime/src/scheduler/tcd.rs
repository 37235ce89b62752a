//! TCDScheduler: trajectory consistency steps (arXiv 2402.19159); each jumps to x0, back to a time below the next, and from
//! there to the next with new noise. `eta` (gamma in the paper) says how far below: 0 draws nothing, 1 goes through x0.

use super::config::Config;
use super::ddim::final_bar;
use super::lcm;
use super::method::{Given, Method, Run, entry, no_shift, table_level};
use super::spacing;
use super::table::{self, Correction};
use super::values::{self, Original, Stepped, each};
use crate::Error;
use crate::process::{Level, Parameterisation};

/// The class reads the clipping keys and never clips. `eta` is an argument of diffusers' pipelines, which pass 0.
pub(super) const KEYS: &[&[&str]] = &[table::KEYS, spacing::KEYS, lcm::OWN_KEYS, &["eta"]];

#[derive(Debug)]
struct Tcd {
    prediction: Parameterisation,
    bars: Vec<f64>,
    /// Steps of the solver that the student was distilled with.
    original_steps: usize,
    eta: f64,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let bars = table::alphas_cumprod(config, Correction::Rescaled)?;
    // Read for their types only: the class spaces its times its own way, and never clips or steps below time 0.
    spacing::Times::new(config, "leading", bars.len())?;
    final_bar(config, &bars, true)?;
    values::clip(config, false)?;
    let eta = config.number("eta", 0.0)?;
    if !(0.0..=1.0).contains(&eta) {
        return Err(config.refuse("eta", "but a number from 0 to 1 is needed"));
    }
    Ok(Box::new(Tcd {
        prediction: table::prediction(config)?,
        original_steps: config.integer("original_inference_steps", 50, 1, bars.len())?,
        eta,
        bars,
    }))
}

impl Method for Tcd {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        let timesteps = lcm::timesteps(self.bars.len(), self.original_steps, steps)?;
        Ok(Run { steps, timesteps, sigmas: Vec::new() })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let time = run.time(index).unwrap_or_default();
        let from = table_level(&self.bars, time)?;
        let original = Original::new(self.prediction, from, time, None)?;
        let noise = self.prediction.noise(from)?;
        // A run ends at time 0, not at the clean sample.
        let next = run.time(index + 1).unwrap_or(0.0);
        let below = entry(&self.bars, ((1.0 - self.eta) * next).floor())?;
        let level = Level::of_alpha_squared(below);
        let (kept, new) = match self.draws(run, index) {
            true => {
                let ratio = entry(&self.bars, next)? / below;
                (ratio.sqrt(), (1.0 - ratio).max(0.0).sqrt())
            }
            false => (1.0, 0.0),
        };
        each(given.sample, given.output, given.noise, |x, output, drawn| {
            let original = original.of(x, output);
            let there = level.alpha * original + level.sigma * noise.apply(x, output);
            (kept * there + new * drawn, original)
        })
    }

    fn level(&self, _run: &Run, time: f64) -> Result<Level, Error> {
        table_level(&self.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }

    fn draws(&self, run: &Run, index: usize) -> bool {
        self.eta > 0.0 && index + 1 < run.timesteps.len()
    }
}

//! DDIMScheduler with eta = 0: deterministic steps of the probability-flow ODE (arXiv 2010.02502).

use super::config::Config;
use super::method::{Given, Method, Run, entry, no_shift, table_level};
use super::spacing::{self, Times};
use super::table::{self, Correction};
use super::values::{self, Original, Stepped, each};
use crate::Error;
use crate::process::{Level, Parameterisation};

pub(super) const KEYS: &[&[&str]] = &[
    table::KEYS,
    spacing::KEYS,
    &[
        "prediction_type",
        "clip_sample",
        "clip_sample_range",
        "set_alpha_to_one",
        "thresholding",
        "dynamic_thresholding_ratio",
        "sample_max_value",
        "rescale_betas_zero_snr",
    ],
];

#[derive(Debug)]
struct Ddim {
    prediction: Parameterisation,
    times: Times,
    bars: Vec<f64>,
    /// `alpha²` below time 0.
    last: f64,
    clip: Option<f64>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let bars = table::alphas_cumprod(config, Correction::Rescaled)?;
    Ok(Box::new(Ddim {
        prediction: table::prediction(config)?,
        times: Times::new(config, "leading", bars.len())?,
        last: final_bar(config, &bars, true)?,
        clip: values::clip(config, true)?,
        bars,
    }))
}

impl Method for Ddim {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        Ok(Run { steps, timesteps: self.times.whole(steps)?, sigmas: Vec::new() })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let time = run.time(index).unwrap_or_default();
        let bar = entry(&self.bars, time)?;
        let next = earlier(&self.bars, time - (self.times.count / run.steps) as f64, self.last)?;
        let (from, to) = (Level::of_alpha_squared(bar), Level::of_alpha_squared(next));
        let original = Original::new(self.prediction, from, time, self.clip)?;
        // The noise is the network's even where x0 is clipped.
        let noise = self.prediction.noise(from)?;
        each(given.sample, given.output, None, |x, output, _| {
            let original = original.of(x, output);
            (to.alpha * original + to.sigma * noise.apply(x, output), original)
        })
    }

    fn level(&self, _run: &Run, time: f64) -> Result<Level, Error> {
        table_level(&self.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }
}

/// `alpha²` below time 0: one, or the table's first entry.
pub(super) fn final_bar(config: &Config, bars: &[f64], default: bool) -> Result<f64, Error> {
    Ok(if config.flag("set_alpha_to_one", default)? { 1.0 } else { bars[0] })
}

/// `alpha²` at a time that may lie below 0.
pub(super) fn earlier(bars: &[f64], time: f64, last: f64) -> Result<f64, Error> {
    if time < 0.0 { Ok(last) } else { entry(bars, time) }
}

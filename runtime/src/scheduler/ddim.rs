//! DDIMScheduler with eta = 0: deterministic steps of the probability-flow ODE (arXiv 2010.02502).

use super::config::Config;
use super::method::{Given, Method, Plan, entry, no_shift, table_levels};
use super::spacing::{self, Times};
use super::table::{self, Family, Precision};
use super::values::{self, Prediction, Stepped, clipped, each};
use crate::Error;

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
    prediction: Prediction,
    times: Times,
    bars: Vec<f64>,
    /// `alpha²` below time 0.
    last: f64,
    clip: Option<f64>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let bars = table::cumulative(config, Family::Plain, Precision::Reference)?;
    Ok(Box::new(Ddim {
        prediction: Prediction::new(config)?,
        times: Times::new(config, "leading", bars.len())?,
        last: final_bar(config, &bars, true)?,
        clip: values::clip(config, true)?,
        bars,
    }))
}

impl Method for Ddim {
    fn plan(&mut self, steps: usize, mu: Option<f64>) -> Result<Plan, Error> {
        no_shift(mu)?;
        Ok(Plan { steps, timesteps: self.times.whole(steps)?, sigmas: Vec::new() })
    }

    fn step(&mut self, plan: &Plan, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let time = plan.time(index).unwrap_or_default();
        let bar = entry(&self.bars, time)?;
        let next = earlier(&self.bars, time - (self.times.count / plan.steps) as f64, self.last)?;
        let (prediction, clip) = (self.prediction, self.clip);
        prediction.check(bar, time, clip)?;
        let (alpha, sigma) = (bar.sqrt(), (1.0 - bar).sqrt());
        each(given.sample, given.output, None, |x, output, _| {
            let original = clipped(prediction.original(bar, x, output), clip);
            // The noise is the network's even where x0 is clipped.
            let noise = match prediction {
                Prediction::Epsilon => output,
                Prediction::Sample => (x - alpha * output) / sigma,
                Prediction::Velocity => alpha * output + sigma * x,
            };
            (next.sqrt() * original + (1.0 - next).sqrt() * noise, original)
        })
    }

    fn levels(&self, _plan: &Plan, time: f64) -> Result<(f64, f64), Error> {
        table_levels(&self.bars, time)
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

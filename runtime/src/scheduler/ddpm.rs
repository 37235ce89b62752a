//! DDPMScheduler: ancestral sampling (arXiv 2006.11239, formula 7).

use super::config::Config;
use super::ddim::earlier;
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
        "variance_type",
        "clip_sample",
        "clip_sample_range",
        "thresholding",
        "dynamic_thresholding_ratio",
        "sample_max_value",
        "rescale_betas_zero_snr",
    ],
];

#[derive(Debug)]
struct Ddpm {
    prediction: Parameterisation,
    times: Times,
    bars: Vec<f64>,
    clip: Option<f64>,
    /// The variance is beta rather than the posterior's.
    large: bool,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let bars = table::alphas_cumprod(config, Correction::Rescaled)?;
    // `fixed_small_log` takes a logarithm and undoes it.
    let variances = [("fixed_small", false), ("fixed_small_log", false), ("fixed_large", true)];
    Ok(Box::new(Ddpm {
        prediction: table::prediction(config)?,
        times: Times::new(config, "leading", bars.len())?,
        clip: values::clip(config, true)?,
        large: config.choice("variance_type", "fixed_small", &variances)?,
        bars,
    }))
}

impl Method for Ddpm {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        Ok(Run { steps, timesteps: self.times.whole(steps)?, sigmas: Vec::new() })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let time = run.time(index).unwrap_or_default();
        let bar = entry(&self.bars, time)?;
        let next = earlier(&self.bars, run.time(index + 1).unwrap_or(-1.0), 1.0)?;
        let original = Original::new(self.prediction, Level::of_alpha_squared(bar), time, self.clip)?;
        let alpha = bar / next;
        let beta = 1.0 - alpha;
        let posterior = ((1.0 - next) / (1.0 - bar) * beta).max(1e-20);
        let deviation = if self.large { beta } else { posterior }.sqrt();
        let of_original = next.sqrt() * beta / (1.0 - bar);
        let of_sample = alpha.sqrt() * (1.0 - next) / (1.0 - bar);
        each(given.sample, given.output, given.noise, |x, output, noise| {
            let original = original.of(x, output);
            (of_original * original + of_sample * x + deviation * noise, original)
        })
    }

    fn level(&self, _run: &Run, time: f64) -> Result<Level, Error> {
        table_level(&self.bars, time)
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }

    fn draws(&self, run: &Run, index: usize) -> bool {
        run.time(index) > Some(0.0)
    }
}

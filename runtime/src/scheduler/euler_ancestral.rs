//! EulerAncestralDiscreteScheduler: an Euler step below the next sigma, and noise back up to it.

use super::config::Config;
use super::euler::{init_noise_sigma, original};
use super::method::{Given, Method, Run, listed, no_shift};
use super::sigma::{interpolate, terminated};
use super::spacing::{self, Times};
use super::table::{self, Correction};
use super::values::{Stepped, each};
use crate::Error;
use crate::process::{Level, Parameterisation};

pub(super) const KEYS: &[&[&str]] = &[table::KEYS, spacing::KEYS, &["prediction_type", "rescale_betas_zero_snr"]];

#[derive(Debug)]
struct EulerAncestral {
    prediction: Parameterisation,
    times: Times,
    bars: Vec<f64>,
    sigmas: Vec<f64>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let bars = table::alphas_cumprod(config, Correction::Lifted)?;
    Ok(Box::new(EulerAncestral {
        prediction: table::prediction_without_sample(config)?,
        times: Times::new(config, "linspace", bars.len())?,
        sigmas: table::sigmas(&bars),
        bars,
    }))
}

impl Method for EulerAncestral {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        let timesteps = self.times.fractional(steps)?;
        let sigmas = terminated(interpolate(&timesteps, &self.sigmas), 0.0);
        Ok(Run { steps, timesteps, sigmas })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (from, to) = (run.sigma(index), run.sigma(index + 1));
        let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        let original = original(self.prediction, from)?;
        each(given.sample, given.output, given.noise, |x, output, noise| {
            let original = original.apply(x, output);
            (x + (x - original) / from * (down - from) + noise * up, original)
        })
    }

    fn level(&self, run: &Run, time: f64) -> Result<Level, Error> {
        Ok(Level { alpha: 1.0, sigma: run.sigma(listed(run, time)?) })
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }

    fn init_noise_sigma(&self, run: &Run) -> f64 {
        init_noise_sigma(self.times, run, &self.sigmas)
    }

    fn input_divisor(&self, run: &Run, index: usize) -> f64 {
        run.sigma(index).hypot(1.0)
    }

    fn draws(&self, run: &Run, index: usize) -> bool {
        run.sigma(index + 1) > 0.0
    }
}

//! EulerAncestralDiscreteScheduler: an Euler step below the next sigma, and noise back up to it.

use super::config::Config;
use super::euler::{init_noise_sigma, original};
use super::method::{Given, Method, Plan, listed, no_shift};
use super::sigma::{interpolate, terminated};
use super::spacing::{self, Times};
use super::table::{self, Family, Precision};
use super::values::{Prediction, Stepped, each};
use crate::Error;

pub(super) const KEYS: &[&[&str]] = &[table::KEYS, spacing::KEYS, &["prediction_type", "rescale_betas_zero_snr"]];

#[derive(Debug)]
struct EulerAncestral {
    prediction: Prediction,
    times: Times,
    bars: Vec<f64>,
    sigmas: Vec<f64>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let bars = table::cumulative(config, Family::Sigma, Precision::Reference)?;
    Ok(Box::new(EulerAncestral {
        prediction: Prediction::without_sample(config)?,
        times: Times::new(config, "linspace", bars.len())?,
        sigmas: table::sigmas(&bars),
        bars,
    }))
}

impl Method for EulerAncestral {
    fn plan(&mut self, steps: usize, mu: Option<f64>) -> Result<Plan, Error> {
        no_shift(mu)?;
        let timesteps = self.times.fractional(steps)?;
        let sigmas = terminated(interpolate(&timesteps, &self.sigmas), 0.0);
        Ok(Plan { steps, timesteps, sigmas })
    }

    fn step(&mut self, plan: &Plan, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (from, to) = (plan.sigma(index), plan.sigma(index + 1));
        let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        let prediction = self.prediction;
        each(given.sample, given.output, given.noise, |x, output, noise| {
            let original = original(prediction, from, x, output);
            (x + (x - original) / from * (down - from) + noise * up, original)
        })
    }

    fn levels(&self, plan: &Plan, time: f64) -> Result<(f64, f64), Error> {
        Ok((1.0, plan.sigma(listed(plan, time)?)))
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }

    fn init_noise_sigma(&self, plan: &Plan) -> f64 {
        init_noise_sigma(self.times, plan, &self.sigmas)
    }

    fn input_divisor(&self, plan: &Plan, index: usize) -> f64 {
        plan.sigma(index).hypot(1.0)
    }

    fn draws(&self, plan: &Plan, index: usize) -> bool {
        plan.sigma(index + 1) > 0.0
    }
}

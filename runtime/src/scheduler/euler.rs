//! EulerDiscreteScheduler: Euler steps in sigma (Karras et al., arXiv 2206.00364, algorithm 2 without churn).

use super::config::Config;
use super::method::{Given, Method, Plan, listed, no_shift};
use super::sigma::{interpolate, karras, terminated, time_of};
use super::spacing::{self, Times};
use super::table::{self, Family, Precision, single};
use super::values::{Prediction, Stepped, each};
use crate::Error;

pub(super) const KEYS: &[&[&str]] = &[
    table::KEYS,
    spacing::KEYS,
    &[
        "prediction_type",
        "interpolation_type",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "sigma_min",
        "sigma_max",
        "timestep_type",
        "rescale_betas_zero_snr",
        "final_sigmas_type",
    ],
];

#[derive(Debug)]
struct Euler {
    prediction: Prediction,
    times: Times,
    bars: Vec<f64>,
    /// By training time, rising.
    sigmas: Vec<f64>,
    karras: bool,
    /// Bounds of Karras' sigmas, where the file sets them.
    bounds: (Option<f64>, Option<f64>),
    last: f64,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    config.unset(&["use_exponential_sigmas", "use_beta_sigmas"])?;
    config.choice("interpolation_type", "linear", &[("linear", ())])?;
    config.choice("timestep_type", "discrete", &[("discrete", ())])?;
    let bound = |key| match config.optional(key)? {
        Some(sigma) if sigma <= 0.0 => Err(config.refuse(key, "but a positive number is needed")),
        sigma => Ok(sigma),
    };
    let bars = table::cumulative(config, Family::Sigma, Precision::Reference)?;
    let sigmas = table::sigmas(&bars);
    let ends_at_zero = config.choice("final_sigmas_type", "zero", &[("zero", true), ("sigma_min", false)])?;
    Ok(Box::new(Euler {
        prediction: Prediction::new(config)?,
        times: Times::new(config, "linspace", bars.len())?,
        karras: config.flag("use_karras_sigmas", false)?,
        bounds: (bound("sigma_min")?, bound("sigma_max")?),
        last: if ends_at_zero { 0.0 } else { sigmas[0] },
        bars,
        sigmas,
    }))
}

impl Method for Euler {
    fn plan(&mut self, steps: usize, mu: Option<f64>) -> Result<Plan, Error> {
        no_shift(mu)?;
        let mut timesteps = self.times.fractional(steps)?;
        let mut sigmas = interpolate(&timesteps, &self.sigmas);
        if self.karras {
            let low = self.bounds.0.or(sigmas.last().copied()).unwrap_or_default();
            let high = self.bounds.1.or(sigmas.first().copied()).unwrap_or_default();
            sigmas = karras(low, high, steps);
            timesteps = sigmas.iter().map(|&sigma| single(time_of(sigma, &self.sigmas))).collect();
        }
        Ok(Plan { steps, timesteps, sigmas: terminated(sigmas, self.last) })
    }

    fn step(&mut self, plan: &Plan, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (sigma, next) = (plan.sigma(index), plan.sigma(index + 1));
        let prediction = self.prediction;
        each(given.sample, given.output, None, |x, output, _| {
            let original = original(prediction, sigma, x, output);
            (x + (x - original) / sigma * (next - sigma), original)
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
}

/// The clean sample from `x0 + sigma eps`.
pub(super) fn original(prediction: Prediction, sigma: f64, x: f64, output: f64) -> f64 {
    let norm = sigma * sigma + 1.0;
    match prediction {
        Prediction::Epsilon => x - sigma * output,
        Prediction::Sample => output,
        Prediction::Velocity => x / norm - output * sigma / norm.sqrt(),
    }
}

/// The largest sigma; for `leading` times, which begin below it, the root of its square and one.
pub(super) fn init_noise_sigma(times: Times, plan: &Plan, table: &[f64]) -> f64 {
    let sigmas = if plan.sigmas.is_empty() { table } else { &plan.sigmas };
    let most = sigmas.iter().copied().fold(0.0, f64::max);
    if times.spacing == spacing::Spacing::Leading { single(single(single(most * most) + 1.0).sqrt()) } else { most }
}

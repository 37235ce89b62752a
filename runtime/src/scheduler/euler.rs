//! EulerDiscreteScheduler: Euler steps in sigma (Karras et al., arXiv 2206.00364, algorithm 2 without churn).

use super::config::Config;
use super::method::{Given, Method, Run, listed, no_shift};
use super::sigma::{interpolate, karras, terminated, time_of};
use super::spacing::{self, Times};
use super::table::{self, Correction};
use super::values::{Stepped, each};
use crate::Error;
use crate::process::{Affine, Level, Parameterisation, single};

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
    prediction: Parameterisation,
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
    let bars = table::alphas_cumprod(config, Correction::Lifted)?;
    let sigmas = table::sigmas(&bars);
    let ends_at_zero = config.choice("final_sigmas_type", "zero", &[("zero", true), ("sigma_min", false)])?;
    Ok(Box::new(Euler {
        prediction: table::prediction(config)?,
        times: Times::new(config, "linspace", bars.len())?,
        karras: config.flag("use_karras_sigmas", false)?,
        bounds: (bound("sigma_min")?, bound("sigma_max")?),
        last: if ends_at_zero { 0.0 } else { sigmas[0] },
        bars,
        sigmas,
    }))
}

impl Method for Euler {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        let mut timesteps = self.times.fractional(steps)?;
        let mut sigmas = interpolate(&timesteps, &self.sigmas);
        if self.karras {
            let low = self.bounds.0.or(sigmas.last().copied()).unwrap_or_default();
            let high = self.bounds.1.or(sigmas.first().copied()).unwrap_or_default();
            sigmas = karras(low, high, steps);
            timesteps = sigmas.iter().map(|&sigma| single(time_of(sigma, &self.sigmas))).collect();
        }
        Ok(Run { steps, timesteps, sigmas: terminated(sigmas, self.last) })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (sigma, next) = (run.sigma(index), run.sigma(index + 1));
        let original = original(self.prediction, sigma)?;
        each(given.sample, given.output, None, |x, output, _| {
            let original = original.apply(x, output);
            (x + (x - original) / sigma * (next - sigma), original)
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
}

/// The clean sample from `x0 + sigma eps`, which is `alpha` times smaller where the process keeps its variance.
pub(super) fn original(prediction: Parameterisation, sigma: f64) -> Result<Affine, Error> {
    let level = Level::of_ratio(sigma);
    let map = prediction.original(level)?;
    Ok(Affine { of_sample: map.of_sample * level.alpha, ..map })
}

/// The largest sigma; for `leading` times, which begin below it, the root of its square and one.
pub(super) fn init_noise_sigma(times: Times, run: &Run, table: &[f64]) -> f64 {
    let sigmas = if run.sigmas.is_empty() { table } else { &run.sigmas };
    let most = sigmas.iter().copied().fold(0.0, f64::max);
    if times.spacing == spacing::Spacing::Leading { single(single(single(most * most) + 1.0).sqrt()) } else { most }
}

//! FlowMatchEulerDiscreteScheduler: Euler steps along the straight path, its sigmas shifted towards noise.

use super::config::Config;
use super::method::{Given, Method, Run, listed, no_shift};
use super::spacing::bounded;
use super::table;
use super::values::{Stepped, each};
use crate::Error;
use crate::error::SchedulerError;
use crate::process::shift::shifted;
use crate::process::spacing::linspace;
use crate::process::{Level, Parameterisation, single};

pub(super) const KEYS: &[&[&str]] = &[&[
    "num_train_timesteps",
    "shift",
    "use_dynamic_shifting",
    "base_shift",
    "max_shift",
    "base_image_seq_len",
    "max_image_seq_len",
    "invert_sigmas",
    "shift_terminal",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "time_shift_type",
    "stochastic_sampling",
]];

/// Longest sequence that a dynamic shift may be stated for.
const MOST_TOKENS: usize = 1 << 24;

#[derive(Debug)]
struct FlowMatch {
    count: usize,
    shift: f64,
    dynamic: Option<Dynamic>,
    stochastic: bool,
}

/// A shift that depends on the number of tokens.
#[derive(Debug)]
struct Dynamic {
    exponential: bool,
    shifts: (f64, f64),
    tokens: (usize, usize),
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    config.unset(&["invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"])?;
    if config.number("shift_terminal", 0.0)? != 0.0 {
        return Err(config.refuse("shift_terminal", "which is not supported; remove it"));
    }
    let positive = |key, default| match config.number(key, default)? {
        value if value > 0.0 => Ok(value),
        _ => Err(config.refuse(key, "but a positive number is needed")),
    };
    let exponential = config.choice("time_shift_type", "exponential", &[("exponential", true), ("linear", false)])?;
    let tokens = |key, default| config.integer(key, default, 1, MOST_TOKENS);
    let tokens = (tokens("base_image_seq_len", 256)?, tokens("max_image_seq_len", 4096)?);
    if tokens.0 >= tokens.1 {
        return Err(config.refuse("max_image_seq_len", "which must be more than base_image_seq_len"));
    }
    let shifts = (config.number("base_shift", 0.5)?, config.number("max_shift", 1.15)?);
    let dynamic = config.flag("use_dynamic_shifting", false)?.then_some(Dynamic { exponential, shifts, tokens });
    let (shift, stochastic) = (positive("shift", 1.0)?, config.flag("stochastic_sampling", false)?);
    Ok(Box::new(FlowMatch { count: table::entries(config)?, shift, dynamic, stochastic }))
}

/// How a run shifts its sigmas.
enum Shift {
    Static(f64),
    /// `w / (w + 1 / sigma - 1)`.
    Dynamic(f64),
}

impl Shift {
    fn of(&self, sigma: f64) -> f64 {
        match self {
            Self::Static(shift) => shifted(*shift, sigma),
            Self::Dynamic(weight) => weight / (weight + (1.0 / sigma - 1.0)),
        }
    }
}

impl FlowMatch {
    fn shift(&self, mu: Option<f64>) -> Result<Shift, Error> {
        let Some(dynamic) = &self.dynamic else { return no_shift(mu).map(|()| Shift::Static(self.shift)) };
        let mu = mu.ok_or(SchedulerError::ShiftNeeded)?;
        let weight = if dynamic.exponential { mu.exp() } else { mu };
        if weight.is_finite() && weight > 0.0 {
            return Ok(Shift::Dynamic(weight));
        }
        Err(SchedulerError::Shift { mu }.into())
    }

    /// The largest and the smallest sigma of training, in float32 steps. With a static shift both are shifted already, and
    /// a run shifts everything between them once more: this is diffusers' behaviour, and teachers are sampled with it.
    fn ends(&self) -> (f64, f64) {
        let sigma = |time: f64| {
            let sigma = single(time / self.count as f64);
            if self.dynamic.is_some() {
                return sigma;
            }
            let slope = single(single(self.shift - 1.0) * sigma);
            single(single(single(self.shift) * sigma) / single(1.0 + slope))
        };
        (sigma(self.count as f64), sigma(1.0))
    }
}

impl Method for FlowMatch {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        bounded(steps, self.count)?;
        let shift = self.shift(mu)?;
        let (count, (high, low)) = (self.count as f64, self.ends());
        let line = linspace(high * count, low * count, steps);
        let sigmas: Vec<f64> = line.into_iter().map(|time| single(shift.of(time / count))).collect();
        let timesteps = sigmas.iter().map(|sigma| single(sigma * count)).collect();
        Ok(Run { steps, timesteps, sigmas: sigmas.into_iter().chain([0.0]).collect() })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (from, to) = (straight(run.sigma(index)), straight(run.sigma(index + 1)));
        let (original, step) = (Parameterisation::Flow.original(from)?, Parameterisation::Flow.step(from, to)?);
        let stochastic = self.stochastic;
        each(given.sample, given.output, given.noise, |x, output, noise| {
            let original = original.apply(x, output);
            (if stochastic { to.alpha * original + to.sigma * noise } else { step.apply(x, output) }, original)
        })
    }

    fn level(&self, run: &Run, time: f64) -> Result<Level, Error> {
        Ok(straight(run.sigma(listed(run, time)?)))
    }

    fn draws(&self, run: &Run, index: usize) -> bool {
        self.stochastic && run.sigma(index + 1) > 0.0
    }

    fn shift_for(&self, tokens: usize) -> Option<f64> {
        let Dynamic { shifts, tokens: (fewest, most), .. } = self.dynamic.as_ref()?;
        let slope = (shifts.1 - shifts.0) / (most - fewest) as f64;
        Some(tokens as f64 * slope + (shifts.0 - slope * *fewest as f64))
    }
}

fn straight(sigma: f64) -> Level {
    Level { alpha: 1.0 - sigma, sigma }
}

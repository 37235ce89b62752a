//! FlowMatchEulerDiscreteScheduler: Euler steps along the straight path, its sigmas shifted towards noise.

use super::config::Config;
use super::method::{Given, Method, Plan, listed, no_shift};
use super::spacing::{bounded, linspace};
use super::table::{self, single};
use super::values::{Stepped, each};
use crate::Error;

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

/// `shift s / (1 + (shift - 1) s)` for `s = 1 - i / steps`: the sigmas that a student is trained and run on. They begin at
/// one and the step after the last ends at zero. diffusers' own list differs, see [`super::Scheduler::set_timesteps`].
#[must_use]
pub fn flow_sigmas(shift: f64, steps: usize) -> Vec<f64> {
    (0..steps).map(|i| shifted(shift, 1.0 - i as f64 / steps as f64)).collect()
}

fn shifted(shift: f64, sigma: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
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
        let needed = "a scheduler with use_dynamic_shifting needs the shift mu of the latents' size; take it from shift_for()";
        let mu = mu.ok_or_else(|| Error::Scheduler(needed.into()))?;
        let weight = if dynamic.exponential { mu.exp() } else { mu };
        if weight.is_finite() && weight > 0.0 {
            return Ok(Shift::Dynamic(weight));
        }
        Err(Error::Scheduler(format!("the shift mu = {mu} cannot be used; take it from shift_for()")))
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
    fn plan(&mut self, steps: usize, mu: Option<f64>) -> Result<Plan, Error> {
        bounded(steps, self.count)?;
        let shift = self.shift(mu)?;
        let (count, (high, low)) = (self.count as f64, self.ends());
        let line = linspace(high * count, low * count, steps);
        let sigmas: Vec<f64> = line.into_iter().map(|time| single(shift.of(time / count))).collect();
        let timesteps = sigmas.iter().map(|sigma| single(sigma * count)).collect();
        Ok(Plan { steps, timesteps, sigmas: sigmas.into_iter().chain([0.0]).collect() })
    }

    fn step(&mut self, plan: &Plan, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (sigma, next) = (plan.sigma(index), plan.sigma(index + 1));
        let stochastic = self.stochastic;
        each(given.sample, given.output, given.noise, |x, output, noise| {
            let original = x - sigma * output;
            let previous = if stochastic { (1.0 - next) * original + next * noise } else { x + (next - sigma) * output };
            (previous, original)
        })
    }

    fn levels(&self, plan: &Plan, time: f64) -> Result<(f64, f64), Error> {
        let sigma = plan.sigma(listed(plan, time)?);
        Ok((1.0 - sigma, sigma))
    }

    fn draws(&self, plan: &Plan, index: usize) -> bool {
        self.stochastic && plan.sigma(index + 1) > 0.0
    }

    fn shift_for(&self, tokens: usize) -> Option<f64> {
        let Dynamic { shifts, tokens: (fewest, most), .. } = self.dynamic.as_ref()?;
        let slope = (shifts.1 - shifts.0) / (most - fewest) as f64;
        Some(tokens as f64 * slope + (shifts.0 - slope * *fewest as f64))
    }
}

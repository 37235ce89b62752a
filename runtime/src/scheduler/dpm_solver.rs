//! DPMSolverMultistepScheduler: multistep solvers in the logarithm of the signal-to-noise ratio that predict x0
//! (DPM-Solver++, arXiv 2211.01095), deterministic or stochastic, of order one to three.

use serde_json::Value;

use super::config::Config;
use super::method::{Given, Method, Run, listed, no_shift};
use super::sigma::{interpolate, karras, terminated, time_of};
use super::spacing::{self, Spacing, Times};
use super::table::{self, Correction};
use super::values::{Original, Stepped, each};
use crate::error::SchedulerError;
use crate::process::spacing::{leading, linspace, trailing};
use crate::process::{Level, Parameterisation};
use crate::tensor::ops::blend;
use crate::{Error, Tensor};

pub(super) const KEYS: &[&[&str]] = &[
    table::KEYS,
    spacing::KEYS,
    &[
        "prediction_type",
        "solver_order",
        "algorithm_type",
        "solver_type",
        "lower_order_final",
        "euler_at_final",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
        "use_flow_sigmas",
        "flow_shift",
        "use_dynamic_shifting",
        "time_shift_type",
        "final_sigmas_type",
        "lambda_min_clipped",
        "variance_type",
        "thresholding",
        "dynamic_thresholding_ratio",
        "sample_max_value",
        "rescale_betas_zero_snr",
    ],
];

/// Fewer steps than this end with solvers of lower order.
const FEW: usize = 15;

#[derive(Debug)]
struct DpmSolver {
    prediction: Parameterisation,
    times: Times,
    bars: Vec<f64>,
    sigmas: Vec<f64>,
    order: usize,
    stochastic: bool,
    heun: bool,
    lower_order_final: bool,
    euler_at_final: bool,
    karras: bool,
    /// Training times above this one are not used.
    first: usize,
    last: f64,
    /// x0 as the last steps saw it, newest at the end.
    originals: Vec<Tensor>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    config.unset(&[
        "thresholding",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
        "use_flow_sigmas",
        "use_dynamic_shifting",
    ])?;
    if config.get("variance_type").is_some() {
        return Err(config.refuse("variance_type", "but networks that predict variances are not supported"));
    }
    let karras = config.flag("use_karras_sigmas", false)?;
    if karras && config.get("beta_schedule").and_then(Value::as_str) == Some("squaredcos_cap_v2") {
        return Err(config.refuse("use_karras_sigmas", "which is not supported with beta_schedule = squaredcos_cap_v2"));
    }
    let bars = table::alphas_cumprod(config, Correction::Lifted)?;
    let sigmas = table::sigmas(&bars);
    // diffusers takes these three solver types for midpoint.
    let solvers = [("midpoint", false), ("heun", true), ("logrho", false), ("bh1", false), ("bh2", false)];
    let algorithms = [("dpmsolver++", false), ("sde-dpmsolver++", true), ("deis", false)];
    let ends_at_zero = config.choice("final_sigmas_type", "zero", &[("zero", true), ("sigma_min", false)])?;
    Ok(Box::new(DpmSolver {
        prediction: table::prediction(config)?,
        times: Times::new(config, "linspace", bars.len())?,
        order: config.integer("solver_order", 2, 1, 3)?,
        stochastic: config.choice("algorithm_type", "dpmsolver++", &algorithms)?,
        heun: config.choice("solver_type", "midpoint", &solvers)?,
        lower_order_final: config.flag("lower_order_final", true)?,
        euler_at_final: config.flag("euler_at_final", false)?,
        karras,
        first: first_time(config, &bars)?,
        last: if ends_at_zero { 0.0 } else { sigmas[0] },
        bars,
        sigmas,
        originals: Vec::new(),
    }))
}

/// How many training times have at least the signal that `lambda_min_clipped` asks for.
fn first_time(config: &Config, bars: &[f64]) -> Result<usize, Error> {
    let least = match config.get("lambda_min_clipped") {
        Some(value) if value.as_str() == Some("-Infinity") => None,
        _ => config.optional("lambda_min_clipped")?,
    };
    let Some(least) = least else { return Ok(bars.len()) };
    let times = bars.iter().filter(|&&bar| bar.sqrt().ln() - (1.0 - bar).sqrt().ln() >= least).count();
    if times < 2 {
        return Err(config.refuse("lambda_min_clipped", "which leaves no training time"));
    }
    Ok(times)
}

impl DpmSolver {
    fn timesteps(&self, steps: usize) -> Result<Vec<f64>, Error> {
        spacing::bounded(steps, self.first - 1)?;
        Ok(match self.times.spacing {
            Spacing::Linspace => {
                let line = linspace(0.0, (self.first - 1) as f64, steps + 1);
                line.into_iter().skip(1).rev().map(f64::round_ties_even).collect()
            }
            Spacing::Leading => {
                let mut times = leading(self.times.offset, self.first / (steps + 1), steps + 1);
                times.truncate(steps);
                times
            }
            Spacing::Trailing => trailing(self.times.count, self.first, steps),
        })
    }

    /// The solver of this step: as many x0s as there are, fewer at the end of short runs.
    fn order_at(&self, run: &Run, index: usize) -> usize {
        let count = run.timesteps.len();
        let short = self.lower_order_final && count < FEW;
        let most = match count - index {
            1 if self.euler_at_final || short || self.last == 0.0 => 1,
            2 if short => 2,
            _ => 3,
        };
        self.order.min(most).min(self.originals.len())
    }
}

impl Method for DpmSolver {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        no_shift(mu)?;
        self.originals.clear();
        let mut timesteps = self.timesteps(steps)?;
        let sigmas = if self.karras {
            let (low, high) = (self.sigmas[0], self.sigmas[self.sigmas.len() - 1]);
            let sigmas = karras(low, high, steps);
            timesteps = sigmas.iter().map(|&sigma| time_of(sigma, &self.sigmas).round_ties_even()).collect();
            if timesteps.get(1) == timesteps.first() {
                return Err(SchedulerError::TwoFirstTimes { steps }.into());
            }
            sigmas
        } else {
            interpolate(&timesteps, &self.sigmas)
        };
        Ok(Run { steps, timesteps, sigmas: terminated(sigmas, self.last) })
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (time, level) = (run.time(index).unwrap_or_default(), Level::of_ratio(run.sigma(index)));
        let original = Original::new(self.prediction, level, time, None)?;
        let original = each(given.sample, given.output, None, |x, output, _| {
            let original = original.of(x, output);
            (original, original)
        })?;
        if self.originals.len() == self.order {
            self.originals.remove(0);
        }
        self.originals.push(original.previous);
        let order = self.order_at(run, index);
        let [of_sample, of_noise, rest @ ..] = coefficients(run, index, order, self.stochastic, self.heun);
        let mut terms = vec![(of_sample, given.sample)];
        terms.extend(rest.into_iter().take(order).zip(self.originals.iter().rev()));
        terms.extend(given.noise.map(|noise| (of_noise, noise)));
        Ok(Stepped { previous: blend(&terms)?, original: original.original })
    }

    fn level(&self, run: &Run, time: f64) -> Result<Level, Error> {
        Ok(Level::of_ratio(run.sigma(listed(run, time)?)))
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.bars)
    }

    fn draws(&self, _run: &Run, _index: usize) -> bool {
        self.stochastic
    }
}

/// The weights of the sample, the noise, and the last three x0s (newest first) in one step.
fn coefficients(run: &Run, index: usize, order: usize, stochastic: bool, heun: bool) -> [f64; 5] {
    let sigma = |back: usize| run.sigma((index + 1).saturating_sub(back));
    // Half the logarithm of the signal-to-noise ratio is -ln of alpha-relative sigma.
    let h = |back: usize| sigma(back + 1).ln() - sigma(back).ln();
    let (to, from) = (sigma(0), sigma(1));
    let (alpha_to, alpha_from) = (1.0 / to.hypot(1.0), 1.0 / from.hypot(1.0));
    let step = h(0);
    // The stochastic solver moves twice as far and adds the noise that this leaves out.
    let reach = if stochastic { 2.0 * step } else { step };
    let decay = (-reach).exp_m1();
    let ratio = to * alpha_to / (from * alpha_from);
    let of_sample = if stochastic { ratio * (-step).exp() } else { ratio };
    let of_noise = if stochastic { to * alpha_to * (-(-2.0 * step).exp_m1()).sqrt() } else { 0.0 };
    let first = -alpha_to * decay;
    // Weights of the first and second differences of x0; only steps with a finite h use them.
    let (slope, curve) = match order {
        1 => (0.0, 0.0),
        2 if !heun => (0.5 * first, 0.0),
        2 => (alpha_to * (decay / reach + 1.0), 0.0),
        // The sign of the half is diffusers'.
        _ => {
            let half = if stochastic { -0.5 } else { 0.5 };
            (alpha_to * (decay / reach + 1.0), -alpha_to * ((decay + reach) / (reach * reach) - half))
        }
    };
    let (r0, r1) = if order > 1 { (h(1) / step, if order > 2 { h(2) / step } else { 1.0 }) } else { (1.0, 1.0) };
    // D1 = a + r0 / (r0 + r1) (a - b) and D2 = (a - b) / (r0 + r1) with a = (m0 - m1) / r0, b = (m1 - m2) / r1.
    let (of_a, of_b) = if order > 2 {
        let share = r0 / (r0 + r1);
        (slope * (1.0 + share) + curve / (r0 + r1), -slope * share - curve / (r0 + r1))
    } else {
        (slope, 0.0)
    };
    [of_sample, of_noise, first + of_a / r0, of_b / r1 - of_a / r0, -of_b / r1]
}

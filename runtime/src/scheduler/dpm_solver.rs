//! DPMSolverMultistepScheduler: multistep solvers in the logarithm of the signal-to-noise ratio that predict x0
//! (DPM-Solver++, arXiv 2211.01095), deterministic or stochastic, of order one to three.

use super::config::Config;
use super::ladder::{End, Ladder, lambda};
use super::method::{Given, Method, Run, listed};
use super::values::{Original, Stepped, each};
use super::{ladder, spacing, table};
use crate::process::Level;
use crate::tensor::ops::blend;
use crate::{Error, Tensor};

pub(super) const KEYS: &[&[&str]] = &[
    table::KEYS,
    spacing::KEYS,
    ladder::KEYS,
    &[
        "solver_order",
        "algorithm_type",
        "solver_type",
        "lower_order_final",
        "euler_at_final",
        "use_lu_lambdas",
        "lambda_min_clipped",
        "variance_type",
    ],
];

/// Fewer steps than this end with solvers of lower order.
const FEW: usize = 15;

#[derive(Debug)]
struct DpmSolver {
    ladder: Ladder,
    order: usize,
    stochastic: bool,
    heun: bool,
    lower_order_final: bool,
    euler_at_final: bool,
    /// x0 as the last steps saw it, newest at the end.
    originals: Vec<Tensor>,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    config.unset(&["use_lu_lambdas"])?;
    if config.get("variance_type").is_some() {
        return Err(config.refuse("variance_type", "but networks that predict variances are not supported"));
    }
    let mut ladder = Ladder::new(config)?;
    ladder.refuse_karras(config, "squaredcos_cap_v2")?;
    ladder.first = first_time(config, &ladder.bars)?;
    // diffusers takes these three solver types for midpoint.
    let solvers = [("midpoint", false), ("heun", true), ("logrho", false), ("bh1", false), ("bh2", false)];
    let algorithms = [("dpmsolver++", false), ("sde-dpmsolver++", true), ("deis", false)];
    Ok(Box::new(DpmSolver {
        ladder,
        order: config.integer("solver_order", 2, 1, 3)?,
        stochastic: config.choice("algorithm_type", "dpmsolver++", &algorithms)?,
        heun: config.choice("solver_type", "midpoint", &solvers)?,
        lower_order_final: config.flag("lower_order_final", true)?,
        euler_at_final: config.flag("euler_at_final", false)?,
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
    /// The solver of this step: as many x0s as there are, fewer at the end of short runs.
    fn order_at(&self, run: &Run, index: usize) -> usize {
        let count = run.timesteps.len();
        let short = self.lower_order_final && count < FEW;
        let most = match count - index {
            1 if self.euler_at_final || short || self.ladder.end == End::Zero => 1,
            2 if short => 2,
            _ => 3,
        };
        self.order.min(most).min(self.originals.len())
    }
}

impl Method for DpmSolver {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        self.originals.clear();
        self.ladder.run(steps, mu)
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let (time, level) = (run.time(index).unwrap_or_default(), self.ladder.level(run, index));
        let original = Original::new(self.ladder.prediction, level, time, None)?;
        let original = each(given.sample, given.output, None, |x, output, _| {
            let original = original.of(x, output);
            (original, original)
        })?;
        if self.originals.len() == self.order {
            self.originals.remove(0);
        }
        self.originals.push(original.previous);
        let order = self.order_at(run, index);
        let [of_sample, of_noise, rest @ ..] =
            coefficients(|place| self.ladder.level(run, place), index, order, self.stochastic, self.heun);
        let mut terms = vec![(of_sample, given.sample)];
        terms.extend(rest.into_iter().take(order).zip(self.originals.iter().rev()));
        terms.extend(given.noise.map(|noise| (of_noise, noise)));
        Ok(Stepped { previous: blend(&terms)?, original: original.original })
    }

    fn level(&self, run: &Run, time: f64) -> Result<Level, Error> {
        Ok(self.ladder.level(run, listed(run, time)?))
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.ladder.bars)
    }

    fn draws(&self, _run: &Run, _index: usize) -> bool {
        self.stochastic
    }
}

/// The weights of the sample, the noise, and the last three x0s (newest first) in one step.
fn coefficients(level: impl Fn(usize) -> Level, index: usize, order: usize, stochastic: bool, heun: bool) -> [f64; 5] {
    let at = |back: usize| level((index + 1).saturating_sub(back));
    let h = |back: usize| lambda(at(back)) - lambda(at(back + 1));
    let (to, from) = (at(0), at(1));
    let alpha_to = to.alpha;
    let step = h(0);
    // The stochastic solver moves twice as far and adds the noise that this leaves out.
    let reach = if stochastic { 2.0 * step } else { step };
    let decay = (-reach).exp_m1();
    let ratio = to.sigma / from.sigma;
    let of_sample = if stochastic { ratio * (-step).exp() } else { ratio };
    let of_noise = if stochastic { to.sigma * (-(-2.0 * step).exp_m1()).sqrt() } else { 0.0 };
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

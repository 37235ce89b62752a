//! UniPCMultistepScheduler: a multistep solver whose predictor and corrector have one form (UniPC, arXiv 2302.04867), of
//! order one to three, in x0 or in noise.

use serde_json::Value;

use super::config::Config;
use super::ladder::{End, Ladder, lambda};
use super::method::{Given, Method, Run, listed};
use super::values::{Original, Stepped, each};
use super::{ladder, spacing, table};
use crate::process::{Level, Parameterisation};
use crate::tensor::ops::blend;
use crate::{Error, Tensor};

pub(super) const KEYS: &[&[&str]] = &[
    table::KEYS,
    spacing::KEYS,
    ladder::KEYS,
    &["solver_order", "solver_type", "predict_x0", "lower_order_final", "disable_corrector", "solver_p"],
];

#[derive(Debug)]
struct UniPc {
    ladder: Ladder,
    solver: Solver,
    order: usize,
    lower_order_final: bool,
    /// Steps after which nothing is corrected.
    uncorrected: Vec<usize>,
    /// What the last steps saw, x0 or noise, newest at the end.
    outputs: Vec<Tensor>,
    /// The sample that the last step began with, and its order.
    last: Option<(Tensor, usize)>,
}

/// What both halves of a step compute with.
#[derive(Clone, Copy, Debug)]
struct Solver {
    /// In x0 rather than in noise.
    original: bool,
    /// `B(h) = e^h - 1` rather than `h`.
    exponential: bool,
}

pub(super) fn new(config: &Config) -> Result<Box<dyn Method>, Error> {
    let mut ladder = Ladder::new(config)?;
    if ladder.end != End::Zero && ladder.ends_at_its_own() {
        ladder.end = End::Last;
    }
    if config.get("solver_p").is_some() {
        return Err(config.refuse("solver_p", "but another predictor is not supported; remove it"));
    }
    // diffusers takes the three solver types of DPM-Solver for bh2.
    let types = [("bh2", true), ("bh1", false), ("midpoint", true), ("heun", true), ("logrho", true)];
    let solver = Solver { original: config.flag("predict_x0", true)?, exponential: config.choice("solver_type", "bh2", &types)? };
    let order = config.integer("solver_order", 2, 1, 3)?;
    let lower_order_final = config.flag("lower_order_final", true)?;
    if !solver.original && ladder.prediction == Parameterisation::Flow {
        return Err(config.refuse("predict_x0", "but flow_prediction needs true"));
    }
    // Both divide by zero at the clean sample, in diffusers too.
    if ladder.end == End::Zero && !solver.original {
        return Err(config.refuse("predict_x0", "which needs final_sigmas_type = sigma_min"));
    }
    if ladder.end == End::Zero && order > 1 && !lower_order_final {
        return Err(config.refuse("lower_order_final", "which needs final_sigmas_type = sigma_min"));
    }
    if ladder.end == End::Last && order > 2 && !lower_order_final {
        return Err(config.refuse("lower_order_final", "but true is needed where the last sigma comes twice"));
    }
    Ok(Box::new(UniPc {
        uncorrected: uncorrected(config)?,
        ladder,
        solver,
        order,
        lower_order_final,
        outputs: Vec::new(),
        last: None,
    }))
}

fn uncorrected(config: &Config) -> Result<Vec<usize>, Error> {
    let Some(list) = config.get("disable_corrector") else { return Ok(Vec::new()) };
    let step = |value: &Value| value.as_u64().and_then(|step| usize::try_from(step).ok());
    let steps = list.as_array().and_then(|list| list.iter().map(step).collect::<Option<_>>());
    steps.ok_or_else(|| config.refuse("disable_corrector", "but a list of steps is needed"))
}

impl Method for UniPc {
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error> {
        self.outputs.clear();
        self.last = None;
        self.ladder.run(steps, mu)
    }

    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error> {
        let level = self.ladder.level(run, index);
        let original = Original::new(self.ladder.prediction, level, run.time(index).unwrap_or_default(), None)?;
        let noise = if self.solver.original { None } else { Some(self.ladder.prediction.noise(level)?) };
        // What the solver computes with, and x0.
        let Stepped { previous: output, original } = each(given.sample, given.output, None, |x, output, _| {
            let original = original.of(x, output);
            (noise.map_or(original, |noise| noise.apply(x, output)), original)
        })?;
        let places = |first: usize| -> Vec<Level> { (0..=first).rev().map(|place| self.ladder.level(run, place)).collect() };
        let mut sample = given.sample.clone();
        if let Some((before, order)) = &self.last
            && index.checked_sub(1).is_some_and(|step| !self.uncorrected.contains(&step))
        {
            let [of_sample, of_new, rest @ ..] = self.solver.weights(&places(index), *order, true);
            let mut terms = vec![(of_sample, before), (of_new, &output)];
            terms.extend(rest.into_iter().take(*order).zip(self.outputs.iter().rev()));
            sample = blend(&terms)?;
        }
        if self.outputs.len() == self.order {
            self.outputs.remove(0);
        }
        self.outputs.push(output);
        let left = run.timesteps.len() - index;
        let most = if self.lower_order_final { self.order.min(left) } else { self.order };
        let order = most.min(self.outputs.len());
        let [of_sample, _, rest @ ..] = self.solver.weights(&places(index + 1), order, false);
        let mut terms = vec![(of_sample, &sample)];
        terms.extend(rest.into_iter().take(order).zip(self.outputs.iter().rev()));
        let previous = blend(&terms)?;
        self.last = Some((sample, order));
        Ok(Stepped { previous, original })
    }

    fn level(&self, run: &Run, time: f64) -> Result<Level, Error> {
        Ok(self.ladder.level(run, listed(run, time)?))
    }

    fn alphas_cumprod(&self) -> Option<&[f64]> {
        Some(&self.ladder.bars)
    }
}

impl Solver {
    /// The weights of the sample, of the newest output (at the level where the step ends, which only the corrector has),
    /// and of the outputs before it, newest first. `levels` are those that the step leads to, it begins at, and before.
    fn weights(self, levels: &[Level], order: usize, corrects: bool) -> [f64; 5] {
        let at = |place: usize| levels.get(place).copied().unwrap_or(Level::CLEAN);
        let (to, from) = (at(0), at(1));
        let h = lambda(to) - lambda(from);
        let signed = if self.original { -h } else { h };
        let growth = signed.exp_m1();
        let (of_sample, of_output) =
            if self.original { (to.sigma / from.sigma, to.alpha) } else { (to.alpha / from.alpha, to.sigma) };
        let step = if self.exponential { growth } else { signed };
        // Places of the older outputs, in units of the step; the end of the step is at one.
        let mut places: Vec<f64> = (1..order).map(|back| (lambda(at(back + 1)) - lambda(from)) / h).collect();
        places.push(1.0);
        let shares = match (corrects, order) {
            (false, 1) => Vec::new(),
            (false, 2) | (true, 1) => vec![0.5],
            (false, _) => solve(&places[..order - 1], &moments(signed, step, order - 1)),
            (true, _) => solve(&places, &moments(signed, step, order)),
        };
        let mut weights = [of_sample, 0.0, -of_output * growth, 0.0, 0.0];
        for (back, share) in shares.into_iter().enumerate() {
            // A share of the difference between an output and that at the step's beginning.
            let is_end = corrects && back + 1 == order;
            let of_difference = -of_output * step * share / if is_end { 1.0 } else { places[back] };
            weights[if is_end { 1 } else { 3 + back }] += of_difference;
            weights[2] -= of_difference;
        }
        weights
    }
}

/// `n! phi_{n+1}(h) h / B(h)` for n from one: what sums of powers of the places have to be.
fn moments(h: f64, step: f64, count: usize) -> Vec<f64> {
    let mut phi = h.exp_m1() / h - 1.0;
    let mut factorial = 1.0;
    let next = |n: usize| {
        let moment = phi * factorial / step;
        factorial *= (n + 1) as f64;
        phi = phi / h - 1.0 / factorial;
        moment
    };
    (1..=count).map(next).collect()
}

/// The shares `s` with `sum_k s_k places_k^i = moments_i`, by elimination; at most three.
fn solve(places: &[f64], moments: &[f64]) -> Vec<f64> {
    let count = places.len();
    let mut rows: Vec<Vec<f64>> =
        (0..count).map(|power| places.iter().map(|place| place.powi(power as i32)).chain([moments[power]]).collect()).collect();
    for pivot in 0..count {
        let largest = (pivot..count).max_by(|&a, &b| rows[a][pivot].abs().total_cmp(&rows[b][pivot].abs()));
        rows.swap(pivot, largest.unwrap_or(pivot));
        let row = rows[pivot].clone();
        for below in rows.iter_mut().enumerate().filter(|(place, _)| *place != pivot).map(|(_, below)| below) {
            let factor = below[pivot] / row[pivot];
            below.iter_mut().zip(&row).for_each(|(value, above)| *value -= factor * above);
        }
    }
    rows.iter().enumerate().map(|(place, row)| row[count] / row[place]).collect()
}

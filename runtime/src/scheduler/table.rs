//! The cumulative noise tables of discrete-time models, bit for bit as diffusers' schedulers hold them.
//!
//! diffusers computes them in float32 (CogVideoX in float64), and where a table is rescaled to end at zero the differences
//! of nearly equal float32 numbers show in every later digit: so the roundings are part of what a teacher was trained with.

use serde_json::Value;

use super::config::Config;
use crate::Error;
use crate::process::{Parameterisation, Process};

/// Most table entries: a file may be a stranger's.
const MOST_ENTRIES: usize = 100_000;

/// The smallest value that the sigma schedulers leave at the end of a rescaled table, so that sigma stays finite.
const FLOOR: f64 = 1.0 / 16_777_216.0;

/// The keys of a noise table.
pub(super) const KEYS: &[&str] = &["num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"];

/// What a class does with its betas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// No rescaling, whatever the file says.
    Fixed,
    /// Rescaled betas end at zero.
    Plain,
    /// As [`Family::Plain`], but the last entry is lifted to 2^-24.
    Sigma,
    /// The signal-to-noise ratio is divided by `snr_shift_scale`, then the table is rescaled to end at zero.
    CogVideoX,
}

/// How results of arithmetic are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// As the class of diffusers keeps them.
    Reference,
    /// All in f64.
    Double,
}

/// `num_train_timesteps`, bounded.
pub(super) fn entries(config: &Config) -> Result<usize, Error> {
    config.integer("num_train_timesteps", 1000, 2, MOST_ENTRIES)
}

/// `alpha²` (the running product of 1 - beta) of every training time, in f64 throughout, for any scheduler class that has
/// a noise table: `snr_shift_scale` and `rescale_betas_zero_snr` included. The last entry may be zero.
///
/// # Errors
/// [`Error::Scheduler`] for a value that is not supported.
pub fn noise_table(config: &Value) -> Result<Vec<f64>, Error> {
    let config = Config::new(config)?;
    let family = match config.class() {
        "CogVideoXDDIMScheduler" | "CogVideoXDPMScheduler" => Family::CogVideoX,
        "EulerDiscreteScheduler" | "EulerAncestralDiscreteScheduler" | "DPMSolverMultistepScheduler" => Family::Sigma,
        "PNDMScheduler" => Family::Fixed,
        _ => Family::Plain,
    };
    cumulative(&config, family, Precision::Double)
}

/// The noise process that the teacher of a `scheduler_config.json` was trained on.
///
/// # Errors
/// [`Error::Scheduler`] for a class without a known process, or a value that is not supported.
pub fn process(config: &Value) -> Result<Process, Error> {
    let typed = Config::new(config)?;
    let class = typed.class();
    if class == "FlowMatchEulerDiscreteScheduler" {
        return Ok(Process::flow(typed.number("shift", 1.0)?));
    }
    if class.starts_with("FlowMatch") || class.starts_with("EDM") {
        return Err(Error::Scheduler(format!("the scheduler is {class}, whose noise levels are not supported yet")));
    }
    let choices = [
        ("epsilon", Parameterisation::Epsilon),
        ("sample", Parameterisation::Sample),
        ("v_prediction", Parameterisation::VPrediction),
    ];
    let parameterisation = typed.choice("prediction_type", "epsilon", &choices)?;
    Ok(Process::with_table(parameterisation, noise_table(config)?))
}

/// `alphas_cumprod` of a class.
pub(super) fn cumulative(config: &Config, family: Family, precision: Precision) -> Result<Vec<f64>, Error> {
    let schedule = config.choice("beta_schedule", default_schedule(config), &SCHEDULES)?;
    let double = precision == Precision::Double
        || (family == Family::CogVideoX && schedule == Betas::ScaledLinear && config.get("trained_betas").is_none());
    let keep = |value: f64| if double { value } else { f64::from(value as f32) };
    let betas = betas(config, schedule, keep)?;
    let zero = config.flag("rescale_betas_zero_snr", false)?;
    let mut bars = products(&betas, keep);
    match family {
        Family::CogVideoX => {
            let shift = config.number("snr_shift_scale", 3.0)?;
            if shift <= 0.0 {
                return Err(config.refuse("snr_shift_scale", "but a positive number is needed"));
            }
            bars.iter_mut().for_each(|bar| *bar = keep(*bar / keep(keep((1.0 - shift) * *bar) + shift)));
            if zero {
                bars = rescaled(&bars, keep);
            }
        }
        Family::Plain | Family::Sigma if zero => {
            let ends = rescaled(&bars, keep);
            let ratios = ends.windows(2).map(|pair| keep(pair[1] / pair[0]));
            let betas: Vec<f64> = ends.first().copied().into_iter().chain(ratios).map(|alpha| keep(1.0 - alpha)).collect();
            bars = products(&betas, keep);
            if let (Family::Sigma, Some(last)) = (family, bars.last_mut()) {
                *last = FLOOR;
            }
        }
        Family::Fixed | Family::Plain | Family::Sigma => {}
    }
    if bars.iter().all(|bar| bar.is_finite()) {
        return Ok(bars);
    }
    Err(config.refuse("rescale_betas_zero_snr", "but the betas are too small for a table that ends at zero"))
}

/// The sigma of every entry, `sqrt((1 - bar) / bar)`, in float32 steps.
pub(super) fn sigmas(bars: &[f64]) -> Vec<f64> {
    bars.iter().map(|&bar| single(single(single(1.0 - bar) / bar).sqrt())).collect()
}

/// Rounds to float32.
pub(crate) fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Betas {
    Linear,
    ScaledLinear,
    SquaredCosine,
}

const SCHEDULES: [(&str, Betas); 3] =
    [("scaled_linear", Betas::ScaledLinear), ("linear", Betas::Linear), ("squaredcos_cap_v2", Betas::SquaredCosine)];

fn default_schedule(config: &Config) -> &'static str {
    if own_defaults(config) { "scaled_linear" } else { "linear" }
}

/// Classes whose betas default to Stable Diffusion's.
fn own_defaults(config: &Config) -> bool {
    config.class() == "LCMScheduler" || config.class().starts_with("CogVideoX")
}

fn betas(config: &Config, schedule: Betas, keep: impl Fn(f64) -> f64) -> Result<Vec<f64>, Error> {
    let count = entries(config)?;
    if let Some(trained) = config.get("trained_betas") {
        let wrong = || config.refuse("trained_betas", &format!("but {count} numbers from 0 to 1 are needed"));
        let numbers = trained.as_array().filter(|numbers| numbers.len() == count).ok_or_else(wrong)?;
        let number = |value: &Value| value.as_f64().filter(|beta| (0.0..1.0).contains(beta)).map(&keep).ok_or_else(wrong);
        return numbers.iter().map(number).collect();
    }
    let (start, end) = if own_defaults(config) { (0.00085, 0.012) } else { (0.0001, 0.02) };
    let (start, end) = (config.number("beta_start", start)?, config.number("beta_end", end)?);
    if !(start > 0.0 && start <= end && end < 1.0) {
        return Err(config.refuse("beta_start", &format!("but 0 < beta_start <= beta_end < 1 is needed, and beta_end is {end}")));
    }
    Ok(match schedule {
        Betas::Linear => line(start, end, count, keep),
        Betas::ScaledLinear => line(start.sqrt(), end.sqrt(), count, &keep).into_iter().map(|root| keep(root * root)).collect(),
        Betas::SquaredCosine => {
            let bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
            let time = |i: usize| i as f64 / count as f64;
            (0..count).map(|i| keep((1.0 - bar(time(i + 1)) / bar(time(i))).min(0.999))).collect()
        }
    })
}

/// torch's `linspace`: from both ends to the middle, each value with one rounding.
pub(crate) fn line(start: f64, end: f64, count: usize, keep: impl Fn(f64) -> f64) -> Vec<f64> {
    let (start, end) = (keep(start), keep(end));
    let step = keep(keep(end - start) / (count.max(2) - 1) as f64);
    let value = |i: usize| {
        if i < count / 2 || count == 1 { start + step * i as f64 } else { end - step * (count - 1 - i) as f64 }
    };
    (0..count).map(|i| keep(value(i))).collect()
}

/// torch's `cumprod` of 1 - beta: float32 values, but the running product is double.
fn products(betas: &[f64], keep: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut product = 1.0;
    let next = |beta: &f64| {
        product *= keep(1.0 - beta);
        keep(product)
    };
    betas.iter().map(next).collect()
}

/// A table moved and stretched in the square root so that its last entry is zero and its first stays
/// (arXiv 2305.08891, algorithm 1).
fn rescaled(bars: &[f64], keep: impl Fn(f64) -> f64) -> Vec<f64> {
    let roots: Vec<f64> = bars.iter().map(|bar| keep(bar.sqrt())).collect();
    let (first, last) = (roots.first().copied().unwrap_or(1.0), roots.last().copied().unwrap_or(0.0));
    let stretch = keep(first / keep(first - last));
    let square = |root: f64| keep(root * root);
    roots.iter().map(|root| square(keep(keep(root - last) * stretch))).collect()
}

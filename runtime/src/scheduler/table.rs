//! Which noise table a `scheduler_config.json` states, and how its class keeps it: CogVideoX' own betas in float64, all
//! others in float32 (see [`crate::process::Rounding`]).

use serde_json::Value;

use super::config::Config;
use crate::Error;
use crate::process::{Betas, MOST_ENTRIES, NoiseTable, Parameterisation, ProcessError, Rounding, single};

/// The smallest value that the sigma schedulers leave at the end of a rescaled table, so that sigma stays finite.
const FLOOR: f64 = 1.0 / 16_777_216.0;

/// The keys of a noise table.
pub(super) const KEYS: &[&str] = &["num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"];

/// What a class does with its betas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Correction {
    /// Nothing, whatever the file says.
    None,
    /// Rescaled betas end at zero.
    Rescaled,
    /// As [`Correction::Rescaled`], but the last entry is lifted to 2^-24.
    Lifted,
    /// The signal-to-noise ratio is divided by `snr_shift_scale`, then the table is rescaled to end at zero.
    Shifted,
}

/// `num_train_timesteps`, bounded.
pub(super) fn entries(config: &Config) -> Result<usize, Error> {
    config.integer("num_train_timesteps", 1000, 2, MOST_ENTRIES)
}

/// `prediction_type`.
pub(super) fn prediction(config: &Config) -> Result<Parameterisation, Error> {
    let choices = [
        ("epsilon", Parameterisation::Epsilon),
        ("sample", Parameterisation::Sample),
        ("v_prediction", Parameterisation::VPrediction),
    ];
    config.choice("prediction_type", "epsilon", &choices)
}

/// `prediction_type` of a class that does not know `sample`.
pub(super) fn prediction_without_sample(config: &Config) -> Result<Parameterisation, Error> {
    let choices = [("epsilon", Parameterisation::Epsilon), ("v_prediction", Parameterisation::VPrediction)];
    config.choice("prediction_type", "epsilon", &choices)
}

/// `alphas_cumprod` as the class of diffusers holds it.
pub(super) fn alphas_cumprod(config: &Config, correction: Correction) -> Result<Vec<f64>, Error> {
    let table = noise_table(config, correction)?;
    let is_double = correction == Correction::Shifted && matches!(table.betas, Betas::ScaledLinear { .. });
    let rounding = if is_double { Rounding::Double } else { Rounding::Single };
    table.alphas_cumprod(rounding).map_err(|error| refused(config, error))
}

/// The noise table as a class keeps it.
pub(super) fn noise_table(config: &Config, correction: Correction) -> Result<NoiseTable, Error> {
    let zero = config.flag("rescale_betas_zero_snr", false)?;
    let table = NoiseTable {
        betas: betas(config)?,
        snr_shift_scale: match correction {
            Correction::Shifted => Some(config.number("snr_shift_scale", 3.0)?),
            Correction::None | Correction::Rescaled | Correction::Lifted => None,
        },
        rescale_betas_zero_snr: zero && correction != Correction::None,
        last_alphas_cumprod: (zero && correction == Correction::Lifted).then_some(FLOOR),
    };
    table.check().map_err(|error| refused(config, error))?;
    Ok(table)
}

/// The sentence that refuses the key of a table, with the value that the file has.
fn refused(config: &Config, error: ProcessError) -> Error {
    match error {
        ProcessError::Table { key, problem } => config.refuse(key, &problem),
        other => other.into(),
    }
}

fn betas(config: &Config) -> Result<Betas, Error> {
    let count = entries(config)?;
    // Classes whose betas default to Stable Diffusion's.
    let own_defaults = matches!(config.class(), "LCMScheduler" | "TCDScheduler") || config.class().starts_with("CogVideoX");
    let ((start, end), schedule) = if own_defaults { ((0.00085, 0.012), "scaled_linear") } else { ((0.0001, 0.02), "linear") };
    let (start, end) = (config.number("beta_start", start)?, config.number("beta_end", end)?);
    type Kind = fn(f64, f64, usize) -> Betas;
    let kinds: [(&str, Kind); 3] = [
        ("scaled_linear", |start, end, count| Betas::ScaledLinear { start, end, count }),
        ("linear", |start, end, count| Betas::Linear { start, end, count }),
        ("squaredcos_cap_v2", |_, _, count| Betas::SquaredCosine { count }),
    ];
    let betas = config.choice("beta_schedule", schedule, &kinds)?(start, end, count);
    let Some(trained) = config.get("trained_betas") else { return Ok(betas) };
    let wrong = || config.refuse("trained_betas", &format!("but {count} numbers from 0 to 1 are needed"));
    let numbers = trained.as_array().filter(|numbers| numbers.len() == count).ok_or_else(wrong)?;
    numbers.iter().map(Value::as_f64).collect::<Option<_>>().map(Betas::Trained).ok_or_else(wrong)
}

/// The sigma of every entry, `sqrt((1 - bar) / bar)`, in float32 steps.
pub(super) fn sigmas(bars: &[f64]) -> Vec<f64> {
    bars.iter().map(|&bar| single(single(single(1.0 - bar) / bar).sqrt())).collect()
}

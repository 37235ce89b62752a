//! Reads `scheduler_config.json`: every value is typed and bounded, every key is known or refused.

use serde_json::{Map, Value};

use crate::Error;
use crate::error::SchedulerError;

/// Keys of diffusers' other schedulers, which a file may hold although its own class has no use for them: the released
/// SDXL and LCM files do. diffusers ignores them, and so does this crate.
const FOREIGN: &[&str] = &[
    "algorithm_type",
    "base_image_seq_len",
    "base_shift",
    "clip_sample",
    "clip_sample_range",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "eta",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "invert_sigmas",
    "lambda_min_clipped",
    "lower_order_final",
    "max_image_seq_len",
    "max_shift",
    "original_inference_steps",
    "predict_x0",
    "rescale_betas_zero_snr",
    "sample_max_value",
    "set_alpha_to_one",
    "shift",
    "shift_terminal",
    "sigma_max",
    "sigma_min",
    "skip_prk_steps",
    "solver_order",
    "solver_p",
    "solver_type",
    "stochastic_sampling",
    "thresholding",
    "time_shift_type",
    "timestep_scaling",
    "timestep_type",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_flow_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
    "variance_type",
    // The noise table's own keys, which flow matching has no use for.
    "beta_end",
    "beta_schedule",
    "beta_start",
    "prediction_type",
    "steps_offset",
    "timestep_spacing",
    "trained_betas",
];

/// Keys of a configuration that change nothing.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// Of other classes, or without a value.
    pub(super) foreign: Vec<String>,
    /// Of no class of diffusers.
    pub(super) unknown: Vec<String>,
}

/// A scheduler's configuration. A key with the value `null` counts as absent; a flag is then unset, whatever the class's
/// default, as Python's `None` is.
#[derive(Clone, Copy)]
pub(super) struct Config<'a> {
    class: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Config<'a> {
    /// The configuration and its class.
    pub(super) fn new(value: &'a Value) -> Result<Self, Error> {
        let refuse = |problem: &str| SchedulerError::Syntax { problem: problem.into() };
        let map = value.as_object().ok_or_else(|| refuse("is no JSON object"))?;
        let class = map.get("_class_name").and_then(Value::as_str).ok_or_else(|| refuse("names no _class_name"))?;
        Ok(Self { class, map })
    }

    pub(super) fn class(&self) -> &'a str {
        self.class
    }

    /// The keys that have no meaning for this class, in the file's order: those of other classes, and those of none, which
    /// diffusers ignores too.
    pub(super) fn ignored(&self, own: &[&[&str]]) -> Ignored {
        let mut ignored = Ignored::default();
        for (key, value) in self.map {
            if key.starts_with('_') || own.iter().any(|keys| keys.contains(&key.as_str())) {
                continue;
            }
            let known = FOREIGN.contains(&key.as_str()) || value.is_null();
            let list = if known { &mut ignored.foreign } else { &mut ignored.unknown };
            list.push(key.chars().take(80).collect());
        }
        ignored
    }

    /// The sentence that refuses a key's value.
    pub(super) fn refuse(&self, key: &str, reason: &str) -> Error {
        let value = self.get(key).map_or_else(|| "null".into(), ToString::to_string);
        let value: String = if value.chars().count() > 60 { value.chars().take(60).chain(['…']).collect() } else { value };
        SchedulerError::Key { class: self.class.into(), key: key.into(), value, reason: reason.into() }.into()
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A finite number.
    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64, Error> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// A finite number that may be absent.
    pub(super) fn optional(&self, key: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| self.refuse(key, "but a finite number is needed"))
    }

    /// An integer of `low..=high`.
    pub(super) fn integer(&self, key: &str, default: usize, low: usize, high: usize) -> Result<usize, Error> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let integer = value.as_u64().and_then(|number| usize::try_from(number).ok());
        let integer = integer.filter(|number| (low..=high).contains(number));
        integer.ok_or_else(|| self.refuse(key, &format!("but an integer from {low} to {high} is needed")))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        let Some(value) = self.map.get(key) else { return Ok(default) };
        if value.is_null() {
            return Ok(false);
        }
        value.as_bool().ok_or_else(|| self.refuse(key, "but true or false is needed"))
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, key: &str, default: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let word = self.get(key).map_or(Some(default), Value::as_str);
        let found = choices.iter().find(|(name, _)| Some(*name) == word);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(key, &format!("but {} is supported", names.join(" or ")))
        })
    }

    /// Refuses flags that are set; none of them is implemented.
    pub(super) fn unset(&self, keys: &[&str]) -> Result<(), Error> {
        for key in keys {
            if self.flag(key, false)? {
                return Err(self.refuse(key, "which is not supported; set it to false"));
            }
        }
        Ok(())
    }
}

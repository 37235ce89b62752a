//! The noise process that a `scheduler_config.json` states: what the networks that go with it were trained on.

use serde_json::Value;

use super::classes::{self, Noise};
use super::config::Config;
use super::{ladder, table};
use crate::Error;
use crate::process::{NoiseSchedule, Parameterisation, Process};

/// The noise process that a `scheduler_config.json` states, without what the network predicts.
///
/// # Errors
/// [`Error::Scheduler`] for a class that is not supported, or a value that is not.
pub fn noise_schedule(config: &Value) -> Result<NoiseSchedule, Error> {
    let config = Config::new(config)?;
    let flow = |shift: &str| -> Result<NoiseSchedule, Error> {
        Ok(NoiseSchedule::Flow { num_train_timesteps: table::entries(&config)?, shift: config.number(shift, 1.0)? })
    };
    match classes::find(&config)?.noise {
        Noise::Flow => flow("shift"),
        Noise::Either(_) if ladder::is_flow(&config)? => flow("flow_shift"),
        Noise::Table(correction) | Noise::Either(correction) => table::noise_table(&config, correction).map(NoiseSchedule::Table),
    }
}

/// The noise process that the teacher of a `scheduler_config.json` was trained on.
///
/// # Errors
/// As [`noise_schedule`].
pub fn process(config: &Value) -> Result<Process, Error> {
    Ok(noise_schedule(config)?.process(parameterisation(config)?)?)
}

/// What the network predicts that a `scheduler_config.json` goes with.
///
/// # Errors
/// [`Error::Scheduler`] for a class or a prediction that is not supported.
pub fn parameterisation(config: &Value) -> Result<Parameterisation, Error> {
    let config = Config::new(config)?;
    match classes::find(&config)?.noise {
        Noise::Flow => Ok(Parameterisation::Flow),
        Noise::Table(_) => table::prediction(&config),
        Noise::Either(_) => ladder::prediction(&config),
    }
}

//! What every scheduler class has to say.

use std::fmt::Debug;

use super::values::Stepped;
use crate::error::SchedulerError;
use crate::process::Level;
use crate::{Error, Tensor};

/// The times of one run.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Run {
    /// As asked for; a list may be longer (PNDM) or shorter.
    pub(super) steps: usize,
    pub(super) timesteps: Vec<f64>,
    /// One more than the timesteps, or none for classes without sigmas.
    pub(super) sigmas: Vec<f64>,
}

impl Run {
    /// Sigma at a step; 0 beyond the end.
    pub(super) fn sigma(&self, index: usize) -> f64 {
        self.sigmas.get(index).copied().unwrap_or_default()
    }

    /// The time of a step.
    pub(super) fn time(&self, index: usize) -> Option<f64> {
        self.timesteps.get(index).copied()
    }

    /// Where a run that begins with `time` begins: at the second place if the list holds the time twice, as diffusers does,
    /// so that a run from the middle skips no sigma.
    pub(super) fn position(&self, time: f64) -> Option<usize> {
        let mut places = self.timesteps.iter().enumerate().filter(|(_, entry)| **entry == time).map(|(index, _)| index);
        let first = places.next();
        places.next().or(first)
    }
}

/// The tensors of one step, all of one shape.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) output: &'a Tensor,
    pub(super) sample: &'a Tensor,
    pub(super) noise: Option<&'a Tensor>,
}

/// A scheduler class with its configuration and the history of its run.
pub(super) trait Method: Debug + Send + Sync {
    /// The times of a run of `steps` steps; also forgets the last run.
    fn begin(&mut self, steps: usize, mu: Option<f64>) -> Result<Run, Error>;

    /// Step `index` of the run.
    fn step(&mut self, run: &Run, index: usize, given: Given<'_>) -> Result<Stepped, Error>;

    /// The weights of `add_noise` at a time.
    fn level(&self, run: &Run, time: f64) -> Result<Level, Error>;

    /// The noise table.
    fn alphas_cumprod(&self) -> Option<&[f64]> {
        None
    }

    /// The standard deviation of the noise that a run begins with.
    fn init_noise_sigma(&self, _run: &Run) -> f64 {
        1.0
    }

    /// What the network's input is divided by.
    fn input_divisor(&self, _run: &Run, _index: usize) -> f64 {
        1.0
    }

    /// Whether a step adds noise.
    fn draws(&self, _run: &Run, _index: usize) -> bool {
        false
    }

    /// `mu` of dynamic shifting for a number of tokens.
    fn shift_for(&self, _tokens: usize) -> Option<f64> {
        None
    }
}

/// The entry of a table at a whole time.
pub(super) fn entry(table: &[f64], time: f64) -> Result<f64, Error> {
    let whole = time >= 0.0 && time.fract() == 0.0;
    let found = table.get(if whole { time as usize } else { usize::MAX }).copied();
    found.ok_or_else(|| SchedulerError::NoEntry { time, last: table.len().saturating_sub(1) }.into())
}

/// Weights of `add_noise` for schedulers with a noise table.
pub(super) fn table_level(table: &[f64], time: f64) -> Result<Level, Error> {
    entry(table, time).map(Level::of_alpha_squared)
}

/// The place of a time of the run in hand.
pub(super) fn listed(run: &Run, time: f64) -> Result<usize, Error> {
    run.position(time).ok_or_else(|| SchedulerError::NotListed { time }.into())
}

/// Refuses a shift for classes that have none.
pub(super) fn no_shift(mu: Option<f64>) -> Result<(), Error> {
    match mu {
        Some(_) => Err(SchedulerError::NoShift.into()),
        None => Ok(()),
    }
}

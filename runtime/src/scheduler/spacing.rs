//! Which of the training times a run visits.

use super::config::Config;
use crate::Error;
use crate::error::SchedulerError;
use crate::process::single;
use crate::process::spacing::{leading, linspace, trailing};

/// `timestep_spacing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    Linspace,
    Leading,
    Trailing,
}

/// The keys of a spacing.
pub(super) const KEYS: &[&str] = &["timestep_spacing", "steps_offset"];

/// `timestep_spacing` and `steps_offset`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) spacing: Spacing,
    pub(super) offset: usize,
    /// The number of training times.
    pub(super) count: usize,
}

impl Times {
    /// Reads both keys.
    pub(super) fn new(config: &Config, default: &str, count: usize) -> Result<Self, Error> {
        let choices = [("leading", Spacing::Leading), ("trailing", Spacing::Trailing), ("linspace", Spacing::Linspace)];
        let spacing = config.choice("timestep_spacing", default, &choices)?;
        Ok(Self { spacing, offset: config.integer("steps_offset", 0, 0, count)?, count })
    }

    /// `steps` whole times from the noisy end down.
    ///
    /// # Errors
    /// If there are more steps than times, or `steps_offset` leads beyond the table.
    pub(super) fn whole(&self, steps: usize) -> Result<Vec<f64>, Error> {
        self.inside(self.spaced(steps, f64::round_ties_even)?)
    }

    /// The same for schedulers that interpolate between times: `linspace` keeps its fractions, in float32.
    ///
    /// # Errors
    /// If there are more steps than times.
    pub(super) fn fractional(&self, steps: usize) -> Result<Vec<f64>, Error> {
        self.spaced(steps, single)
    }

    fn spaced(&self, steps: usize, keep: impl Fn(f64) -> f64) -> Result<Vec<f64>, Error> {
        bounded(steps, self.count)?;
        Ok(match self.spacing {
            Spacing::Linspace => linspace(0.0, (self.count - 1) as f64, steps).into_iter().rev().map(keep).collect(),
            Spacing::Leading => leading(self.offset, self.count / steps, steps),
            Spacing::Trailing => trailing(self.count, self.count, steps),
        })
    }

    /// Refuses times beyond the table.
    fn inside(&self, times: Vec<f64>) -> Result<Vec<f64>, Error> {
        match times.iter().find(|&&time| time >= self.count as f64) {
            Some(&time) => Err(SchedulerError::Offset { offset: self.offset, time, last: self.count - 1 }.into()),
            None => Ok(times),
        }
    }
}

/// Refuses zero steps and more than `most`.
pub(super) fn bounded(steps: usize, most: usize) -> Result<(), Error> {
    if (1..=most).contains(&steps) {
        return Ok(());
    }
    Err(SchedulerError::Steps { steps, most }.into())
}

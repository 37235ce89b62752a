//! Which of the training times a run visits, with numpy's arithmetic.

use super::config::Config;
use crate::Error;

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
        self.bounded(steps)?;
        let times = match self.spacing {
            Spacing::Linspace => self.line(steps).into_iter().map(f64::round_ties_even).collect(),
            Spacing::Leading => self.leading(steps, self.count / steps),
            Spacing::Trailing => trailing(self.count, self.count, steps),
        };
        self.inside(times)
    }

    /// The same for schedulers that interpolate between times: `linspace` keeps its fractions, in float32.
    ///
    /// # Errors
    /// If there are more steps than times.
    pub(super) fn fractional(&self, steps: usize) -> Result<Vec<f64>, Error> {
        self.bounded(steps)?;
        Ok(match self.spacing {
            Spacing::Linspace => self.line(steps).into_iter().map(super::table::single).collect(),
            Spacing::Leading => self.leading(steps, self.count / steps),
            Spacing::Trailing => trailing(self.count, self.count, steps),
        })
    }

    /// `offset + i ratio` for `i = steps - 1 .. 0`.
    pub(super) fn leading(&self, steps: usize, ratio: usize) -> Vec<f64> {
        (0..steps).rev().map(|i| (i * ratio + self.offset) as f64).collect()
    }

    /// Refuses zero steps and more steps than training times.
    pub(super) fn bounded(&self, steps: usize) -> Result<(), Error> {
        bounded(steps, self.count)
    }

    /// Refuses times beyond the table.
    pub(super) fn inside(&self, times: Vec<f64>) -> Result<Vec<f64>, Error> {
        match times.iter().find(|&&time| time >= self.count as f64) {
            Some(time) => Err(Error::Scheduler(format!(
                "steps_offset = {} moves a step to time {time}, but the noise table ends at {}; ask for fewer steps",
                self.offset,
                self.count - 1
            ))),
            None => Ok(times),
        }
    }

    fn line(&self, steps: usize) -> Vec<f64> {
        let mut line = linspace(0.0, (self.count - 1) as f64, steps);
        line.reverse();
        line
    }
}

/// Refuses zero steps and more than `most`.
pub(super) fn bounded(steps: usize, most: usize) -> Result<(), Error> {
    if (1..=most).contains(&steps) {
        return Ok(());
    }
    Err(Error::Scheduler(format!("{steps} steps were asked for, but this scheduler can make 1 to {most}")))
}

/// numpy's `arange(last, 0, -count / steps).round() - 1`, halves to even. Where rounding of the ratio gives numpy one step
/// too many, which would end at time -1, that step is left out.
pub(super) fn trailing(count: usize, last: usize, steps: usize) -> Vec<f64> {
    let (start, step) = (last as f64, -(count as f64 / steps as f64));
    let delta = (start + step) - start;
    let times = (0..steps).map(|i| (start + i as f64 * delta).round_ties_even() - 1.0);
    times.take_while(|&time| time >= 0.0).collect()
}

/// numpy's `linspace`.
pub(super) fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    if count < 2 {
        return vec![start; count];
    }
    let step = (stop - start) / (count - 1) as f64;
    let mut line: Vec<f64> = (0..count).map(|i| i as f64 * step + start).collect();
    line[count - 1] = stop;
    line
}

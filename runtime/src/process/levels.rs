//! Noise levels by time, and the process that a network was trained on.

use std::sync::Arc;

use super::level::Level;
use super::shift::shifted;
use super::spacing::trailing;
use super::{Affine, Parameterisation, ProcessError};

/// What a network is told at the noisy end of the straight path, as every released model counts.
const STRAIGHT_TIMES: f64 = 1000.0;

/// The times of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// Whole numbers from 0, as many as stated.
    Whole(usize),
    /// Every number from 0, all signal, to 1, all noise.
    Continuous,
}

#[derive(Debug, Clone, PartialEq)]
enum Levels {
    /// `alpha²` by whole time.
    Table(Arc<[f64]>),
    /// `alpha = 1 - t`, `sigma = t`.
    Straight {
        /// How far sampling times are moved to the noisy end (SD3: 3).
        shift: f64,
        /// What the network is told for one whole path.
        told: f64,
        /// The largest time that the network is told.
        latest: f64,
    },
}

/// A forward process and what a network on it predicts. Times are table indices, or numbers from 0 to 1 on the straight
/// path; the network is told the index, or a thousand times the number.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    parameterisation: Parameterisation,
    levels: Levels,
}

impl Process {
    /// A process with a noise table: `alpha²` by whole time, falling.
    #[must_use]
    pub fn with_table(parameterisation: Parameterisation, alpha_squared: Vec<f64>) -> Self {
        Self { parameterisation, levels: Levels::Table(alpha_squared.into()) }
    }

    /// The straight path of flow matching, whose sampling times are shifted by `shift` (1 is none).
    #[must_use]
    pub fn flow(shift: f64) -> Self {
        Self::flow_told(shift, STRAIGHT_TIMES)
    }

    /// The same for a network that is told `latest` at the noisy end.
    #[must_use]
    pub(super) fn flow_told(shift: f64, latest: f64) -> Self {
        Self { parameterisation: Parameterisation::Flow, levels: Levels::Straight { shift, told: latest, latest } }
    }

    /// The line between noise and sample on which a student of a teacher with a noise table learns velocities. The network
    /// is told a thousand times the line's time, but never more than `latest`: tables end at 999.
    #[must_use]
    pub fn line(latest: f64) -> Self {
        Self {
            parameterisation: Parameterisation::LineVelocity,
            levels: Levels::Straight { shift: 1.0, told: STRAIGHT_TIMES, latest },
        }
    }

    /// The process on which adversarial pre-training of a student of this teacher takes place: its own where that is the
    /// straight path, else the line, where the network is told at most `latest`.
    #[must_use]
    pub fn of_line_student(&self, latest: f64) -> Self {
        match self.levels {
            Levels::Table(_) => Self::line(latest),
            Levels::Straight { .. } => self.clone(),
        }
    }

    /// The same process for a network that predicts something else.
    ///
    /// # Errors
    /// [`ProcessError::Mismatch`] for what goes with another kind of process.
    pub fn predicting(&self, parameterisation: Parameterisation) -> Result<Self, ProcessError> {
        match (&self.levels, parameterisation.is_straight()) {
            (Levels::Table(_), false) | (Levels::Straight { .. }, true) => {
                Ok(Self { parameterisation, levels: self.levels.clone() })
            }
            (Levels::Table(_), true) | (Levels::Straight { .. }, false) => Err(ProcessError::Mismatch { parameterisation }),
        }
    }

    /// What the network predicts.
    #[must_use]
    pub fn parameterisation(&self) -> Parameterisation {
        self.parameterisation
    }

    /// The times that there are.
    #[must_use]
    pub fn grid(&self) -> Grid {
        match &self.levels {
            Levels::Table(table) => Grid::Whole(table.len()),
            Levels::Straight { .. } => Grid::Continuous,
        }
    }

    /// The noisy end.
    #[must_use]
    pub fn last_time(&self) -> f64 {
        match &self.levels {
            Levels::Table(table) => table.len().saturating_sub(1) as f64,
            Levels::Straight { .. } => 1.0,
        }
    }

    /// The noisiest time that is not pure noise: on the straight path the last f32 before its end.
    #[must_use]
    pub fn last_time_with_signal(&self) -> f64 {
        match &self.levels {
            Levels::Table(table) => table.iter().rposition(|&squared| squared > 0.0).unwrap_or(0) as f64,
            Levels::Straight { .. } => f64::from(1.0 - f32::EPSILON / 2.0),
        }
    }

    /// A stretch of time that is stated in thousandths of the whole, on this process: whole steps of a table, or a number.
    #[must_use]
    pub fn thousandths(&self, count: f64) -> f64 {
        match &self.levels {
            Levels::Table(table) => (count * table.len() as f64 / STRAIGHT_TIMES).round(),
            Levels::Straight { .. } => count / STRAIGHT_TIMES,
        }
    }

    /// The weights of signal and noise.
    ///
    /// # Errors
    /// [`ProcessError::Time`] for a time that the process does not have.
    pub fn level(&self, time: f64) -> Result<Level, ProcessError> {
        let found = match &self.levels {
            Levels::Table(table) if time >= 0.0 && time.fract() == 0.0 => {
                table.get(time as usize).map(|&squared| Level::of_alpha_squared(squared))
            }
            Levels::Table(_) => None,
            Levels::Straight { .. } => (0.0..=1.0).contains(&time).then_some(Level { alpha: 1.0 - time, sigma: time }),
        };
        found.ok_or_else(|| self.no_time(time))
    }

    fn no_time(&self, time: f64) -> ProcessError {
        let range = match self.grid() {
            Grid::Whole(count) => format!("whole times from 0 to {}", count.saturating_sub(1)),
            Grid::Continuous => "times from 0 to 1".to_owned(),
        };
        ProcessError::Time { time, range }
    }

    /// What the network is told the time is.
    #[must_use]
    pub fn network_time(&self, time: f64) -> f64 {
        match self.levels {
            Levels::Table(_) => time,
            Levels::Straight { told, latest, .. } => (told * time).min(latest),
        }
    }

    /// The time of which the network is told `network_time`; the latest one stands for pure noise.
    ///
    /// # Errors
    /// [`ProcessError::Time`] for one that it is never told.
    pub fn time_told(&self, network_time: f64) -> Result<f64, ProcessError> {
        let time = match self.levels {
            Levels::Table(_) => network_time,
            Levels::Straight { latest, .. } if network_time == latest => 1.0,
            Levels::Straight { told, latest, .. } if network_time < latest => network_time / told,
            Levels::Straight { told, .. } => return Err(self.no_time(network_time / told)),
        };
        self.level(time).map(|_| time)
    }

    /// `steps` times from the noisy end down, each further step of equal length: diffusers' trailing times of a table, the
    /// shifted times of the straight path.
    ///
    /// # Errors
    /// [`ProcessError::Steps`] for none, or more than a table has.
    pub fn spaced(&self, steps: usize) -> Result<Vec<f64>, ProcessError> {
        let most = match self.grid() {
            Grid::Whole(count) => count,
            Grid::Continuous => STRAIGHT_TIMES as usize,
        };
        if !(1..=most).contains(&steps) {
            return Err(ProcessError::Steps { steps, most });
        }
        Ok(match &self.levels {
            Levels::Table(table) => trailing(table.len(), table.len(), steps),
            Levels::Straight { shift, .. } => shifted_line(*shift, steps),
        })
    }

    /// x0 at a time.
    ///
    /// # Errors
    /// As [`Process::level`] and [`Parameterisation::original`].
    pub fn original(&self, time: f64) -> Result<Affine, ProcessError> {
        self.parameterisation.original(self.level(time)?)
    }

    /// eps at a time.
    ///
    /// # Errors
    /// As [`Process::level`] and [`Parameterisation::noise`].
    pub fn noise(&self, time: f64) -> Result<Affine, ProcessError> {
        self.parameterisation.noise(self.level(time)?)
    }

    /// Weights of (x0, eps) in the network's target at a time.
    ///
    /// # Errors
    /// As [`Process::level`].
    pub fn target(&self, time: f64) -> Result<(f64, f64), ProcessError> {
        Ok(self.parameterisation.target(self.level(time)?))
    }

    /// One step of the probability-flow ODE between two times.
    ///
    /// # Errors
    /// As [`Process::level`] and [`Parameterisation::step`].
    pub fn step(&self, from: f64, to: f64) -> Result<Affine, ProcessError> {
        self.parameterisation.step(self.level(from)?, self.level(to)?)
    }
}

/// `shift s / (1 + (shift - 1) s)` for `s = 1 - i / steps`.
fn shifted_line(shift: f64, steps: usize) -> Vec<f64> {
    (0..steps).map(|i| shifted(shift, 1.0 - i as f64 / steps as f64)).collect()
}

//! Consistency models: what a network says of the beginning of its solver's paths (Song et al., arXiv 2303.01469), in the
//! discrete form of latent consistency models (arXiv 2310.04378).

use serde::{Deserialize, Serialize};

use super::spacing::consistent;
use super::{Affine, Grid, Process, ProcessError};

/// The condition that a consistency function meets where a noise table begins: `f(x, t) = c_skip x + c_out x0`, with
/// `c_skip = d² / (y² + d²)`, `c_out = y / sqrt(y² + d²)` and `y` the scaled time, so that `f(x, 0) = x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boundary {
    /// `y` is so many times the time.
    pub timestep_scaling: f64,
    /// `d`, the standard deviation that data are taken to have.
    pub sigma_data: f64,
}

impl Boundary {
    /// That of latent consistency models, whose `d` is one half.
    #[must_use]
    pub fn new(timestep_scaling: f64) -> Self {
        Self { timestep_scaling, sigma_data: 0.5 }
    }

    /// `(c_skip, c_out)` at a time of a noise table.
    #[must_use]
    pub fn scalings(self, time: f64) -> (f64, f64) {
        let (scaled, data) = (time * self.timestep_scaling, self.sigma_data);
        (data.powi(2) / (scaled * scaled + data.powi(2)), scaled / scaled.hypot(data))
    }
}

/// How a consistency model was distilled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// How many steps of the solver lead from noise to a sample.
    pub solver_steps: usize,
    /// What the boundary condition multiplies times by.
    pub timestep_scaling: f64,
}

impl Consistency {
    /// The condition at the beginning of a noise table.
    #[must_use]
    pub fn boundary(self) -> Boundary {
        Boundary::new(self.timestep_scaling)
    }

    /// The times at which the solver's steps start, from the noisy end down; each ends at the next, the last one at 0.
    ///
    /// # Errors
    /// [`ProcessError::SolverSteps`] where the steps of a noise table would not be of equal length, [`ProcessError::Steps`].
    pub fn starts(self, process: &Process) -> Result<Vec<f64>, ProcessError> {
        let steps = self.solver_steps;
        match process.grid() {
            Grid::Whole(count) if steps > 0 && steps <= count && !count.is_multiple_of(steps) => {
                Err(ProcessError::SolverSteps { steps, count })
            }
            Grid::Whole(_) | Grid::Continuous => process.spaced(steps),
        }
    }

    /// Start and end of every step of the solver, from the clean end up: the first ends at time 0.
    ///
    /// # Errors
    /// As [`Consistency::starts`], and where the network's output makes no step or no clean sample.
    pub fn intervals(self, process: &Process) -> Result<Vec<[f64; 2]>, ProcessError> {
        let mut end = 0.0;
        let interval = |start: f64| {
            let from = std::mem::replace(&mut end, start);
            process.step(start, from)?;
            process.consistent(start, self.boundary())?;
            Ok([start, from])
        };
        self.starts(process)?.into_iter().rev().map(interval).collect()
    }

    /// The times of `calls` calls of the student, as evenly among the solver's as diffusers' `LCMScheduler` finds them.
    ///
    /// # Errors
    /// As [`Consistency::starts`]; [`ProcessError::Steps`] for more calls than the solver has steps.
    pub fn times(self, process: &Process, calls: usize) -> Result<Vec<f64>, ProcessError> {
        let starts = self.starts(process)?;
        if !(1..=starts.len()).contains(&calls) {
            return Err(ProcessError::Steps { steps: calls, most: starts.len() });
        }
        Ok(consistent(starts.len(), calls).filter_map(|place| starts.get(place).copied()).collect())
    }
}

impl Process {
    /// The consistency function from the noisy sample and the raw output. The straight path ends in the clean sample, of
    /// which its networks say the sample itself, and so needs no condition.
    ///
    /// # Errors
    /// As [`Process::original`].
    pub fn consistent(&self, time: f64, boundary: Boundary) -> Result<Affine, ProcessError> {
        let original = self.original(time)?;
        let (skip, out) = match self.grid() {
            Grid::Whole(_) => boundary.scalings(time),
            Grid::Continuous => (0.0, 1.0),
        };
        Ok(Affine { of_sample: skip + out * original.of_sample, of_output: out * original.of_output })
    }
}

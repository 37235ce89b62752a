//! The noise process, once for training, sampling and running: which mixture of signal and noise a time stands for, what a
//! network's raw output says about both, and the steps between times (distillation.md, sections 1 to 3).
//!
//! Everything is pure and in f64: callers apply the coefficients to their own tensors and round once, when they meet them.

mod consistency;
pub mod guidance;
mod level;
mod levels;
mod noise_table;
mod parameterisation;
mod rollout;
mod rounding;
mod schedule;
pub mod shift;
pub mod spacing;

pub use consistency::{Boundary, Consistency};
pub use level::Level;
pub use levels::{Grid, Process};
pub(crate) use noise_table::MOST_ENTRIES;
pub use noise_table::{Betas, NoiseTable};
pub use parameterisation::{Affine, Parameterisation};
pub use rollout::{Next, Rollout, Step, StepRule};
pub(crate) use rounding::{Rounding, single};
pub use schedule::NoiseSchedule;

/// What a noise process cannot do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// A time that the process does not have.
    #[error("time {time} is not on the noise process, which has {range}")]
    Time {
        /// The time.
        time: f64,
        /// The times that there are, in words.
        range: String,
    },
    /// Clean samples from predicted noise where there is no signal.
    #[error("x0 cannot be computed from noise where alpha is 0; the time is too late for a network that predicts noise")]
    NoSignal,
    /// A step that starts from predicted noise where there is no signal.
    #[error("a step from predicted noise cannot start where alpha is 0")]
    NoSignalToStepFrom,
    /// Noise from a predicted clean sample where there is none.
    #[error("the noise cannot be computed from a clean sample where sigma is 0")]
    NoNoise,
    /// A list of times that no generator can walk along.
    #[error("the times {times:?} of a generator {problem}")]
    Times {
        /// The times as the network is told them.
        times: Vec<f64>,
        /// What is wrong, as the rest of the sentence.
        problem: String,
    },
    /// A value of which no process can be made.
    #[error("the noise process cannot have this {key}, {problem}")]
    Table {
        /// The value, as configurations call it.
        key: &'static str,
        /// What is needed, as the rest of the sentence.
        problem: String,
    },
    /// A network that predicts what another kind of process has.
    #[error(
        "a network that predicts {parameterisation:?} does not go with this noise process: flow goes with the straight path, all other predictions with a noise table"
    )]
    Mismatch {
        /// What the network predicts.
        parameterisation: Parameterisation,
    },
    /// Steps of a solver that are not of equal length.
    #[error("the solver of a consistency student cannot divide the {count} times of this noise process into {steps} equal steps")]
    SolverSteps {
        /// As asked for.
        steps: usize,
        /// The times that there are.
        count: usize,
    },
    /// More or fewer steps than the process has times.
    #[error("{steps} steps were asked for, but this noise process can make 1 to {most}")]
    Steps {
        /// As asked for.
        steps: usize,
        /// As many as there are.
        most: usize,
    },
}

//! What can be wrong with a scheduler's configuration, or with the use of it.

/// A configuration that is not supported, or a call out of order.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The text is no configuration.
    #[error("scheduler_config.json {problem}; save it again with diffusers")]
    Syntax {
        /// What is wrong, as the rest of the sentence.
        problem: String,
    },
    /// A class that is not there.
    #[error("the scheduler class {class} is not supported; {advice}")]
    UnknownClass {
        /// As the configuration names it.
        class: String,
        /// What to do.
        advice: String,
    },
    /// A key or a value that is not supported.
    #[error("the {class} of scheduler_config.json has {key} = {value}, {reason}")]
    Key {
        /// The class.
        class: String,
        /// The key.
        key: String,
        /// Its value, shortened.
        value: String,
        /// Why, and what is supported, as the rest of the sentence.
        reason: String,
    },
    /// More or fewer steps than the scheduler can make.
    #[error("{steps} steps were asked for, but this scheduler can make 1 to {most}")]
    Steps {
        /// As asked for.
        steps: usize,
        /// As many as there can be.
        most: usize,
    },
    /// An offset that leads beyond the table.
    #[error("steps_offset = {offset} moves a step to time {time}, but the noise table ends at {last}; ask for fewer steps")]
    Offset {
        /// `steps_offset`.
        offset: usize,
        /// The time.
        time: f64,
        /// The last time of the table.
        last: usize,
    },
    /// A spacing so dense at its beginning that it cannot begin.
    #[error(
        "{steps} steps begin with the same time twice, which diffusers cannot run either; ask for fewer steps, or set use_karras_sigmas to false or flow_shift to less"
    )]
    TwoFirstTimes {
        /// As asked for.
        steps: usize,
    },
    /// A time that the noise table does not have.
    #[error("time {time} is not in the noise table, which has whole times 0 to {last}")]
    NoEntry {
        /// The time.
        time: f64,
        /// The last one that there is.
        last: usize,
    },
    /// A time that is not of this run.
    #[error("time {time} is not one of the run's timesteps; take it from timesteps()")]
    NotListed {
        /// The time.
        time: f64,
    },
    /// A step that is not the next.
    #[error("a step at time {time} was asked for, but the next of this run is {next}")]
    NotNext {
        /// As asked for.
        time: f64,
        /// The next one.
        next: f64,
    },
    /// A step behind the last.
    #[error("a step at time {time} was asked for, but the run has ended; call set_timesteps")]
    Ended {
        /// As asked for.
        time: f64,
    },
    /// A scheduler without a run.
    #[error("a scheduler was used before set_timesteps; call it first")]
    NotBegun,
    /// A second step before the first.
    #[error("the second step of {class} was asked for before the first; call set_timesteps and begin again")]
    OutOfOrder {
        /// The class.
        class: &'static str,
    },
    /// A step that needs noise and was given none.
    #[error("the step of {class} at time {time} adds noise, but none was given")]
    NoNoise {
        /// The class.
        class: &'static str,
        /// The time.
        time: f64,
    },
    /// Predicted noise where there is no signal.
    #[error(
        "at time {time} the rescaled noise table leaves no signal, so x0 cannot be computed from predicted noise; use v_prediction or rescale_betas_zero_snr = false"
    )]
    NoSignal {
        /// The time.
        time: f64,
    },
    /// A shift that the configuration has no use for.
    #[error("a shift was given to a scheduler without use_dynamic_shifting; leave it out")]
    NoShift,
    /// A shift that is missing.
    #[error("a scheduler with use_dynamic_shifting needs the shift mu of the latents' size; take it from shift_for()")]
    ShiftNeeded,
    /// A shift that is no shift.
    #[error("the shift mu = {mu} cannot be used; take it from shift_for()")]
    Shift {
        /// As given.
        mu: f64,
    },
}

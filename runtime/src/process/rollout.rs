//! How a generator walks from noise to a clean sample: an explicit list of times, never recomputed from their number.

use serde::{Deserialize, Serialize};

use super::{Affine, Consistency, Level, Process, ProcessError};

/// What happens between two calls of a generator's network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRule {
    /// A step of the probability-flow ODE: the predicted noise stays.
    #[default]
    Ode,
    /// The predicted clean sample is noised anew to the next time: consistency sampling, as of DMD2 and LCM.
    Renoise,
}

impl StepRule {
    /// Whether it is the rule that files leave out.
    #[must_use]
    pub fn is_ode(&self) -> bool {
        *self == Self::Ode
    }
}

/// One call of the network and what follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The time on the process.
    pub time: f64,
    /// What the network is told the time is.
    pub network_time: f64,
    /// The clean sample as this call sees it.
    pub original: Affine,
    /// What the next call is given.
    pub next: Next,
}

/// The sample that follows a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// The walk is over: the clean sample is the result.
    End,
    /// One map of the sample and the raw output.
    Ode(Affine),
    /// The clean sample, noised with fresh noise to this level.
    Renoise(Level),
}

/// The walk of a teacher or a student.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    process: Process,
    rule: StepRule,
    steps: Vec<Step>,
    consistency: Option<Consistency>,
}

impl Rollout {
    /// Walks along `network_times`, as the network is told them, strictly falling. The first stands for pure noise, whatever
    /// its level is (one-step SDXL of DMD2 is told 399).
    ///
    /// # Errors
    /// [`ProcessError::Times`] for an empty list or one that does not fall, [`ProcessError::Time`] for a time that the
    /// process does not have, [`ProcessError::NoSignal`] for one at which x0 cannot be predicted.
    pub fn new(process: Process, network_times: &[f64], rule: StepRule) -> Result<Self, ProcessError> {
        let refuse = |problem: &str| ProcessError::Times { times: network_times.to_vec(), problem: problem.to_owned() };
        if network_times.is_empty() {
            return Err(refuse("are none, but at least one is needed"));
        }
        // Written so that a NaN fails too.
        if !network_times.windows(2).all(|pair| pair[0] > pair[1]) {
            return Err(refuse("do not fall strictly"));
        }
        let times = network_times.iter().map(|&told| process.time_told(told)).collect::<Result<Vec<_>, _>>()?;
        let step = |(index, &time): (usize, &f64)| {
            let next = match (times.get(index + 1), rule) {
                (None, _) => Next::End,
                (Some(&next), StepRule::Ode) => Next::Ode(process.step(time, next)?),
                (Some(&next), StepRule::Renoise) => Next::Renoise(process.level(next)?),
            };
            Ok(Step { time, network_time: process.network_time(time), original: process.original(time)?, next })
        };
        let steps = times.iter().enumerate().map(step).collect::<Result<_, ProcessError>>()?;
        Ok(Self { process, rule, steps, consistency: None })
    }

    /// The same walk by a consistency model, whose clean samples meet the condition at the beginning of its noise table.
    ///
    /// # Errors
    /// As [`Process::consistent`].
    pub fn by(mut self, consistency: Option<Consistency>) -> Result<Self, ProcessError> {
        if let Some(consistency) = consistency {
            for step in &mut self.steps {
                step.original = self.process.consistent(step.time, consistency.boundary())?;
            }
        }
        self.consistency = consistency;
        Ok(self)
    }

    /// How it was distilled, where it is a consistency model.
    #[must_use]
    pub fn consistency(&self) -> Option<Consistency> {
        self.consistency
    }

    /// The process that it walks on.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What happens between two calls.
    #[must_use]
    pub fn rule(&self) -> StepRule {
        self.rule
    }

    /// The calls, from noise to the clean sample; at least one.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The times as the network is told them.
    #[must_use]
    pub fn network_times(&self) -> Vec<f64> {
        self.steps.iter().map(|step| step.network_time).collect()
    }
}

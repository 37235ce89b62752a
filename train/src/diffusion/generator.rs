//! A generator's walk from noise to a clean sample: the teacher's sampler and every student.

use burn::tensor::Device;
use dmdx_runtime::process::{Level, Next, Rollout, Step, StepRule};

use super::condition::{ConditionBatch, ConditionPair};
use super::denoiser::Denoiser;
use super::noise_process::{applied, mixed, noised_to, pair};
use crate::error::TrainError;
use crate::module::{GraphModule, Value};

/// A network that walks along an explicit list of times.
#[derive(Clone, Debug)]
pub struct Generator {
    network: Denoiser,
    rollout: Rollout,
}

/// What a generator says at one of its times.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The raw output, guided where the generator is.
    pub output: Value,
    /// The clean sample.
    pub x0: Value,
}

impl Generator {
    /// The network of `denoiser` on the rollout's process, whatever the denoiser's own is.
    pub fn new(denoiser: &Denoiser, rollout: &Rollout) -> Self {
        Self { network: denoiser.with_process(rollout.process().clone().into()), rollout: rollout.clone() }
    }

    /// The same walk by another role of the network: trained, or frozen.
    #[must_use]
    pub fn with_module(&self, module: GraphModule) -> Self {
        Self { network: self.network.with_module(module), rollout: self.rollout.clone() }
    }

    /// How often the network is called.
    pub fn len(&self) -> usize {
        self.rollout.steps().len()
    }

    /// Whether the network is never called, which no list of times allows.
    pub fn is_empty(&self) -> bool {
        self.rollout.steps().is_empty()
    }

    /// How many noises a whole walk needs besides its first.
    pub fn fresh_noises(&self) -> usize {
        match self.rollout.rule() {
            StepRule::Ode => 0,
            StepRule::Renoise => self.len().saturating_sub(1),
        }
    }

    /// Where its network lives.
    pub fn device(&self) -> &Device {
        self.network.module.device()
    }

    /// Its list of times.
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// The samples that call 1, 2, … `calls` are given after call 0 took `noise`. `fresh` holds a noise for every call that
    /// noises its clean sample anew ([`dmdx_runtime::process::StepRule::Renoise`]), and nothing else.
    ///
    /// # Errors
    /// When shapes do not fit the network, or there is no noise left.
    pub fn walk(
        &self,
        noise: &Value,
        calls: usize,
        conditions: &ConditionPair,
        weights: Option<&[f64]>,
        fresh: &[Value],
    ) -> Result<Vec<Value>, TrainError> {
        let mut visited: Vec<Value> = Vec::with_capacity(calls);
        for (index, step) in self.rollout.steps().iter().take(calls).enumerate() {
            let x = visited.last().unwrap_or(noise);
            let output = self.answer(x, step, conditions, weights)?;
            let next = match step.next {
                Next::Ode(map) => applied(map, x, &output)?,
                Next::Renoise(level) => {
                    let x0 = applied(step.original, x, &output)?;
                    noised_to(level, &x0, fresh.get(index).ok_or(TrainError::NoFreshNoise { step: index })?)?
                }
                Next::End => applied(step.original, x, &output)?,
            };
            visited.push(next);
        }
        Ok(visited)
    }

    /// The clean sample as call `index` sees it; on the tape if the network is trained.
    ///
    /// # Errors
    /// When there is no such call, or shapes do not fit the network.
    pub fn predict(
        &self,
        x: &Value,
        index: usize,
        conditions: &ConditionPair,
        weights: Option<&[f64]>,
    ) -> Result<Prediction, TrainError> {
        let step = self.step(index)?;
        let output = self.answer(x, step, conditions, weights)?;
        Ok(Prediction { x0: applied(step.original, x, &output)?, output })
    }

    /// Clean samples noised to the times of `calls`, one call per sample. The first call is given nothing but noise, as it is
    /// in a walk, whatever the level of its time.
    ///
    /// # Errors
    /// When there is no such call, or there are not as many as samples.
    pub fn noised(&self, clean: &Value, calls: &[usize], noise: &Value) -> Result<Value, TrainError> {
        let level = |&call: &usize| {
            let Level { alpha, sigma } = match call {
                0 => Level { alpha: 0.0, sigma: 1.0 },
                call => self.rollout.process().level(self.step(call)?.time)?,
            };
            Ok((alpha, sigma))
        };
        mixed(clean, noise, &calls.iter().map(level).collect::<Result<Vec<_>, TrainError>>()?)
    }

    /// The clean samples as the calls `calls` see them, one call per sample and without guidance; on the tape if the network
    /// is trained.
    ///
    /// # Errors
    /// As [`Generator::noised`], and when shapes do not fit the network.
    pub fn predict_each(&self, x: &Value, calls: &[usize], condition: &ConditionBatch) -> Result<Prediction, TrainError> {
        let steps = calls.iter().map(|&call| self.step(call)).collect::<Result<Vec<_>, _>>()?;
        let times: Vec<f64> = steps.iter().map(|step| step.time).collect();
        let originals: Vec<(f64, f64)> = steps.iter().map(|step| pair(step.original)).collect();
        let output = self.network.predict(x, &times, condition)?;
        Ok(Prediction { x0: mixed(x, &output, &originals)?, output })
    }

    /// The times of calls as the network is told them.
    ///
    /// # Errors
    /// When there is no such call.
    pub fn network_times(&self, calls: &[usize]) -> Result<Vec<f64>, TrainError> {
        calls.iter().map(|&call| Ok(self.step(call)?.network_time)).collect()
    }

    fn step(&self, index: usize) -> Result<&Step, TrainError> {
        self.rollout.steps().get(index).ok_or(TrainError::NoSuchStep { step: index, steps: self.len() })
    }

    /// The whole walk from unit noise, which is taken as the sample at the first time whatever its level is.
    ///
    /// # Errors
    /// As [`Generator::walk`].
    pub fn sample(
        &self,
        noise: &Value,
        conditions: &ConditionPair,
        weights: Option<&[f64]>,
        fresh: &[Value],
    ) -> Result<Value, TrainError> {
        let visited = self.walk(noise, self.len(), conditions, weights, fresh)?;
        visited.into_iter().next_back().ok_or(TrainError::NoSuchStep { step: 0, steps: 0 })
    }

    fn answer(&self, x: &Value, step: &Step, conditions: &ConditionPair, weights: Option<&[f64]>) -> Result<Value, TrainError> {
        let times = vec![step.time; x.shape().first().copied().unwrap_or(0)];
        self.network.answer(x, &times, conditions, weights)
    }
}

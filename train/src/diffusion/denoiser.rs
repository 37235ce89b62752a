//! A network that predicts from a noisy sample, its time and its condition.

use super::condition::{ConditionBatch, ConditionPair};
use super::noise_process::NoiseProcess;
use crate::error::TrainError;
use crate::module::{GraphModule, Value};

/// What a denoising network calls its inputs and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The noisy sample.
    pub sample: &'static str,
    /// The time, one per sample.
    pub time: &'static str,
    /// The raw output.
    pub output: &'static str,
    /// Parameters that are stored with the weights and never trained: tables of positions.
    pub buffers: &'static [&'static str],
}

/// A network with the process that it is used on.
#[derive(Clone, Debug)]
pub struct Denoiser {
    /// The network; its inputs are the ports' and those of the condition.
    pub module: GraphModule,
    /// The forward process, and what the network predicts.
    pub process: NoiseProcess,
    /// The names of its inputs and its result.
    pub ports: Ports,
}

/// Raw outputs of a guided prediction.
#[derive(Clone, Debug)]
pub struct Guided {
    /// Without the text.
    pub unconditional: Value,
    /// With the text.
    pub conditional: Value,
    /// `unconditional + w (conditional - unconditional)`.
    pub guided: Value,
}

impl Denoiser {
    /// The same names and process around another role of the network.
    #[must_use]
    pub fn with_module(&self, module: GraphModule) -> Self {
        Self { module, ..self.clone() }
    }

    /// The same network on another process.
    #[must_use]
    pub fn with_process(&self, process: NoiseProcess) -> Self {
        Self { process, ..self.clone() }
    }

    /// A role of its own that starts from the same weights and is trained.
    #[must_use]
    pub fn trainable_copy(&self) -> GraphModule {
        self.module.trainable_copy_without(self.ports.buffers)
    }

    /// The raw output at times of the process, one per sample.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn predict(&self, x: &Value, times: &[f64], condition: &ConditionBatch) -> Result<Value, TrainError> {
        let inputs = self.ports.inputs(x, &self.process.network_times(times), condition)?;
        self.module.output(&inputs, self.ports.output)
    }

    /// Classifier-free guidance in one batch of twice the size, one weight per sample.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn guided(&self, x: &Value, times: &[f64], conditions: &ConditionPair, weights: &[f64]) -> Result<Guided, TrainError> {
        let samples = times.len();
        let both = conditions.unconditional.above(&conditions.conditional)?;
        let outputs = self.predict(&Value::join(&[x.clone(), x.clone()], 0)?, &[times, times].concat(), &both)?;
        let (unconditional, conditional) = (outputs.rows(0, samples), outputs.rows(samples, samples));
        let guided = unconditional.plus(&conditional.minus(&unconditional).per_sample(weights)?);
        Ok(Guided { unconditional, conditional, guided })
    }

    /// The raw output, guided where there are weights.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn answer(
        &self,
        x: &Value,
        times: &[f64],
        conditions: &ConditionPair,
        weights: Option<&[f64]>,
    ) -> Result<Value, TrainError> {
        match weights {
            Some(weights) => Ok(self.guided(x, times, conditions, weights)?.guided),
            None => self.predict(x, times, &conditions.conditional),
        }
    }
}

impl Ports {
    /// Those of a family's denoiser.
    pub fn of(names: &dmdx_runtime::family::Denoiser) -> Self {
        Self { sample: names.sample, time: names.time, output: names.output, buffers: names.buffers }
    }

    /// What a denoising network is called with; times as it counts them.
    pub(crate) fn inputs<'a>(
        &self,
        x: &Value,
        network_times: &[f32],
        condition: &'a ConditionBatch,
    ) -> Result<Vec<(&'a str, Value)>, TrainError> {
        let times = Value::float(network_times.to_vec(), &[network_times.len()], &x.device())?;
        let mut inputs = vec![(self.sample, x.clone()), (self.time, times)];
        inputs.extend(condition.inputs().map(|(name, value)| (name, value.clone())));
        Ok(inputs)
    }
}

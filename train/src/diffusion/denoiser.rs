//! A network that predicts from a noisy sample, its time and its condition.

use crate::diffusion::Schedule;
use crate::error::TrainError;
use crate::module::{GraphModule, Value};

/// What a batch is conditioned on: tensors by the network's input names, batch first.
#[derive(Clone, Debug)]
pub struct Condition {
    inputs: Vec<(String, Value)>,
}

impl Condition {
    /// A condition from tensors by input name.
    pub fn new(inputs: Vec<(String, Value)>) -> Self {
        Self { inputs }
    }

    /// The tensors by input name.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.inputs.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn pick(&self, indices: &[usize]) -> Result<Self, TrainError> {
        self.try_map(|value| value.pick(indices))
    }

    /// `self` above `other` in one batch.
    ///
    /// # Errors
    /// When the two have different inputs.
    pub fn above(&self, other: &Condition) -> Result<Self, TrainError> {
        let same = self.inputs.len() == other.inputs.len()
            && self.inputs.iter().zip(&other.inputs).all(|((name, _), (theirs, _))| name == theirs);
        if !same {
            return Err(TrainError::Invalid("two conditions of different inputs cannot share a batch".into()));
        }
        let joined = self
            .inputs
            .iter()
            .zip(&other.inputs)
            .map(|((name, value), (_, theirs))| Ok((name.clone(), Value::join(&[value.clone(), theirs.clone()], 0)?)));
        Ok(Self { inputs: joined.collect::<Result<_, TrainError>>()? })
    }

    fn try_map(&self, f: impl Fn(&Value) -> Result<Value, TrainError>) -> Result<Self, TrainError> {
        let inputs = self.inputs.iter().map(|(name, value)| Ok((name.clone(), f(value)?)));
        Ok(Self { inputs: inputs.collect::<Result<_, TrainError>>()? })
    }
}

/// Every prompt's condition and, sample by sample, the unconditional one beside it.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// One sample per prompt.
    pub conditional: Condition,
    /// One sample per prompt; differs from the conditional one in the texts only.
    pub unconditional: Condition,
}

impl Conditions {
    /// Those of the prompts at `indices`.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn pick(&self, indices: &[usize]) -> Result<Self, TrainError> {
        Ok(Self { conditional: self.conditional.pick(indices)?, unconditional: self.unconditional.pick(indices)? })
    }
}

/// A network with the schedule that it was trained on.
#[derive(Clone, Debug)]
pub struct Denoiser {
    /// The network; its inputs are `sample`, `timestep` and those of the condition.
    pub module: GraphModule,
    /// The forward process, and what the network predicts.
    pub schedule: Schedule,
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
    /// The raw output at schedule times.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn predict(&self, x: &Value, times: &[f64], condition: &Condition) -> Result<Value, TrainError> {
        let times: Vec<f32> = times.iter().map(|&time| self.schedule.network_time(time)).collect();
        self.predict_at(x, &times, condition)
    }

    /// The raw output at times as the network counts them.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn predict_at(&self, x: &Value, network_times: &[f32], condition: &Condition) -> Result<Value, TrainError> {
        let output = self.module.plan().outputs().first().cloned().unwrap_or_default();
        let inputs = network_inputs(x, network_times, condition)?;
        self.module.output(&inputs, &output)
    }

    /// Classifier-free guidance in one batch of twice the size, one weight per sample.
    ///
    /// # Errors
    /// When shapes do not fit the network.
    pub fn guided(&self, x: &Value, times: &[f64], conditions: &Conditions, weights: &[f64]) -> Result<Guided, TrainError> {
        let samples = times.len();
        let both = conditions.unconditional.above(&conditions.conditional)?;
        let outputs = self.predict(&Value::join(&[x.clone(), x.clone()], 0)?, &[times, times].concat(), &both)?;
        let (unconditional, conditional) = (outputs.rows(0, samples), outputs.rows(samples, samples));
        let guided = unconditional.plus(&conditional.minus(&unconditional).per_sample(weights)?);
        Ok(Guided { unconditional, conditional, guided })
    }
}

/// What a denoising network is called with.
pub(crate) fn network_inputs<'a>(
    x: &Value,
    network_times: &[f32],
    condition: &'a Condition,
) -> Result<Vec<(&'a str, Value)>, TrainError> {
    let times = Value::float(network_times.to_vec(), &[network_times.len()], &x.device())?;
    let mut inputs = vec![("sample", x.clone()), ("timestep", times)];
    inputs.extend(condition.inputs().map(|(name, value)| (name, value.clone())));
    Ok(inputs)
}

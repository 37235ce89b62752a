//! What networks are told besides the sample and the time.

use crate::error::TrainError;
use crate::module::Value;

/// What a batch is conditioned on: tensors by the network's input names.
#[derive(Clone, Debug)]
pub struct ConditionBatch {
    /// Batch first.
    per_sample: Vec<(String, Value)>,
    /// The same for every sample: tables of positions.
    shared: Vec<(String, Value)>,
}

impl ConditionBatch {
    /// A condition from tensors by input name, batch first.
    pub fn new(per_sample: Vec<(String, Value)>) -> Self {
        Self { per_sample, shared: Vec::new() }
    }

    /// The same with inputs that have no batch.
    #[must_use]
    pub fn with_shared(self, shared: Vec<(String, Value)>) -> Self {
        Self { shared, ..self }
    }

    /// All tensors by input name.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.per_sample.iter().chain(&self.shared).map(|(name, value)| (name.as_str(), value))
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn pick(&self, indices: &[usize]) -> Result<Self, TrainError> {
        let picked = self.per_sample.iter().map(|(name, value)| Ok((name.clone(), value.pick(indices)?)));
        Ok(Self { per_sample: picked.collect::<Result<_, TrainError>>()?, shared: self.shared.clone() })
    }

    /// `self` above `other` in one batch.
    ///
    /// # Errors
    /// When the two have different inputs.
    pub fn above(&self, other: &ConditionBatch) -> Result<Self, TrainError> {
        let names = |condition: &ConditionBatch| condition.inputs().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        if names(self) != names(other) {
            return Err(TrainError::Conditions);
        }
        let pairs = self.per_sample.iter().zip(&other.per_sample);
        let joined =
            pairs.map(|((name, value), (_, theirs))| Ok((name.clone(), Value::join(&[value.clone(), theirs.clone()], 0)?)));
        Ok(Self { per_sample: joined.collect::<Result<_, TrainError>>()?, shared: self.shared.clone() })
    }
}

/// Every sample's condition and, sample by sample, the unconditional one beside it.
#[derive(Clone, Debug)]
pub struct ConditionPair {
    /// With the prompts.
    pub conditional: ConditionBatch,
    /// Without; differs from the conditional one in the texts only.
    pub unconditional: ConditionBatch,
}

impl ConditionPair {
    /// Those of the samples at `indices`.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn pick(&self, indices: &[usize]) -> Result<Self, TrainError> {
        Ok(Self { conditional: self.conditional.pick(indices)?, unconditional: self.unconditional.pick(indices)? })
    }
}

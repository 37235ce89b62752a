//! Conditions as the networks take them: tensors on a device.

use std::sync::Arc;

use burn::tensor::Device;

use super::input_rows::InputRows;
use super::store::ConditionStore;
use crate::diffusion::{ConditionBatch, ConditionPair};
use crate::error::TrainError;
use crate::module::Value;

/// The conditions of all prompts, of which those of a batch come onto the device when they are asked for.
#[derive(Clone, Debug)]
pub struct StoredConditions {
    store: Arc<ConditionStore>,
    fixed: Vec<InputRows>,
    /// Tables that are the same for a whole batch.
    shared: Vec<(String, Value)>,
    device: Device,
}

impl StoredConditions {
    /// Those in `store`, with the inputs that are the same for every prompt and for none: one row of each, and `shared`, tables
    /// that are given once for a whole batch.
    pub fn new(store: ConditionStore, fixed: Vec<InputRows>, shared: Vec<(String, Value)>, device: &Device) -> Self {
        Self { store: Arc::new(store), fixed, shared, device: device.clone() }
    }

    /// How many prompts there are.
    pub fn prompts(&self) -> usize {
        self.store.len()
    }

    /// What the prompts `ids` ask for, and the unconditional condition as often.
    ///
    /// # Errors
    /// When there is no such prompt, or it cannot be read.
    pub fn pick(&self, ids: &[usize]) -> Result<ConditionPair, TrainError> {
        Ok(ConditionPair { conditional: self.conditional(ids)?, unconditional: self.unconditional(ids.len())? })
    }

    /// What the prompts `ids` ask for.
    ///
    /// # Errors
    /// As [`StoredConditions::pick`].
    pub fn conditional(&self, ids: &[usize]) -> Result<ConditionBatch, TrainError> {
        self.condition(self.store.read(ids)?, ids.len())
    }

    /// The unconditional condition, `count` times.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn unconditional(&self, count: usize) -> Result<ConditionBatch, TrainError> {
        self.condition(self.store.unconditional().iter().map(|row| repeated(row, count)).collect(), count)
    }

    fn condition(&self, inputs: Vec<InputRows>, count: usize) -> Result<ConditionBatch, TrainError> {
        let fixed = self.fixed.iter().map(|row| repeated(row, count));
        let value = |input: InputRows| {
            let shape: Vec<usize> = std::iter::once(count).chain(input.shape).collect();
            Ok((input.name, Value::float(input.values, &shape, &self.device)?))
        };
        let rows = inputs.into_iter().chain(fixed).map(value).collect::<Result<_, TrainError>>()?;
        Ok(ConditionBatch::new(rows).with_shared(self.shared.clone()))
    }
}

fn repeated(row: &InputRows, count: usize) -> InputRows {
    InputRows { name: row.name.clone(), shape: row.shape.clone(), values: row.values.repeat(count) }
}

//! The state that a training phase saves.

use std::collections::BTreeMap;

use crate::error::TrainError;

/// A phase's state: named f32 tensors and integer counters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Tensors by name, role first (`generator.conv_in.weight`, `generator_optimizer.conv_in.weight`).
    pub tensors: BTreeMap<String, StateTensor>,
    /// Integers by name, for instance optimizer step counts.
    pub counters: BTreeMap<String, u64>,
}

/// An f32 tensor on the host, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateTensor {
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// As many values as the shape's product.
    pub values: Vec<f32>,
}

impl StateTensor {
    /// A tensor of `shape` holding `values`.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] where the count of values is not the shape's product.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Result<Self, TrainError> {
        let wanted = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
        if wanted != Some(values.len()) {
            return Err(TrainError::Invalid(format!("a tensor of shape {shape:?} cannot hold {} values", values.len())));
        }
        Ok(Self { shape, values })
    }
}

impl State {
    /// The tensors whose names begin with `prefix` and a dot, under the rest of their names.
    pub fn role<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a StateTensor)> {
        self.tensors.iter().filter_map(move |(name, tensor)| Some((name.strip_prefix(prefix)?.strip_prefix('.')?, tensor)))
    }

    /// The counter called `name`.
    ///
    /// # Errors
    /// [`TrainError::State`] where there is none.
    pub fn counter(&self, phase: &str, name: &str) -> Result<u64, TrainError> {
        self.counters
            .get(name)
            .copied()
            .ok_or_else(|| TrainError::State { phase: phase.to_string(), reason: format!("counter {name} is missing") })
    }

    /// The tensor called `name`, checked to have `shape`.
    ///
    /// # Errors
    /// [`TrainError::State`] where there is none or its shape is another.
    pub fn tensor(&self, phase: &str, name: &str, shape: &[usize]) -> Result<&StateTensor, TrainError> {
        let fail = |reason| TrainError::State { phase: phase.to_string(), reason };
        let tensor = self.tensors.get(name).ok_or_else(|| fail(format!("tensor {name} is missing")))?;
        if tensor.shape != shape {
            return Err(fail(format!("tensor {name} has shape {:?}, not {shape:?}", tensor.shape)));
        }
        Ok(tensor)
    }
}

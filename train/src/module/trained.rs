//! A trained network with its optimizer.

use super::graph_module::GraphModule;
use super::optimizer::{Adam, AdamSettings, ParameterGradients};
use super::weights::Weights;
use crate::error::TrainError;
use crate::store::{State, StateTensor};

/// A trained role: its network and its optimizer's state.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The network.
    pub module: GraphModule,
    /// Second moments and step count.
    pub optimizer: Adam,
}

impl Trained {
    /// A role that has not been updated yet.
    pub fn new(module: GraphModule, settings: AdamSettings) -> Self {
        Self { module, optimizer: Adam::new(settings) }
    }

    /// One optimizer step.
    pub fn update(&mut self, gradients: ParameterGradients) {
        self.optimizer.step(&mut self.module, gradients);
    }

    /// Writes weights, second moments and step count under `role`.
    ///
    /// # Errors
    /// When the device does not deliver them.
    pub fn save(&self, role: &str, state: &mut State) -> Result<(), TrainError> {
        for (suffix, tensors) in [("", self.module.weights()?), ("_optimizer", self.optimizer.moments()?)] {
            for (name, (shape, values)) in tensors {
                state.tensors.insert(format!("{role}{suffix}.{name}"), StateTensor::new(shape, values)?);
            }
        }
        state.counters.insert(format!("{role}_optimizer.steps"), self.optimizer.steps());
        Ok(())
    }

    /// Puts back what [`Trained::save`] wrote.
    ///
    /// # Errors
    /// [`TrainError::State`] when something is missing, unexpected or of another shape.
    pub fn load(&mut self, phase: &str, role: &str, state: &State) -> Result<(), TrainError> {
        let fail = |error: TrainError| TrainError::State { phase: phase.to_string(), reason: format!("{role}: {error}") };
        let tensors = |prefix: &str| -> Weights {
            state.role(prefix).map(|(name, tensor)| (name.to_string(), (tensor.shape.clone(), tensor.values.clone()))).collect()
        };
        let steps = state.counter(phase, &format!("{role}_optimizer.steps"))?;
        self.module.load(&tensors(role)).map_err(fail)?;
        let moments = tensors(&format!("{role}_optimizer"));
        self.optimizer.load(&self.module, &moments, steps).map_err(fail)
    }
}

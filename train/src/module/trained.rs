//! A trained network with its optimizer.

use super::graph_module::GraphModule;
use super::optimizer::{Adam, AdamSettings, ParameterGradients};
use crate::error::TrainError;
use crate::store::{Parameters, Role};

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
}

impl Parameters for Trained {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.module.parameters()
    }

    fn parameter(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        self.module.parameter(name)
    }

    fn set_parameter(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.module.set_parameter(name, values)
    }
}

impl Role for Trained {
    fn moments(&self) -> Vec<String> {
        self.optimizer.moments().map(str::to_string).collect()
    }

    fn moment(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        self.optimizer.moment(name)
    }

    fn set_moment(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.optimizer.set_moment(&self.module, name, values)
    }

    fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    fn restart(&mut self, steps: u64) {
        self.optimizer.restart(steps);
    }
}

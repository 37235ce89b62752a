//! A network whose weights are the moving average of another's.

use super::graph_module::GraphModule;
use super::value::Value;
use crate::error::TrainError;
use crate::store::{Parameters, Role};

/// A role that no gradient reaches: its weights follow a trained role's.
#[derive(Clone, Debug)]
pub struct Averaged {
    /// The network.
    pub module: GraphModule,
}

impl Averaged {
    /// An average that begins with these weights, in the same storage until either changes.
    pub fn new(module: &GraphModule) -> Self {
        Self { module: module.frozen().labelled("target") }
    }

    /// `w ← decay w + (1 - decay) w'` for every parameter that is trained in `other`, which this began with.
    pub fn follow(&mut self, other: &GraphModule, decay: f64) {
        for ((_, _, own), (_, _, other)) in self.module.float_params_mut().zip(other.float_params()) {
            if other.is_trainable() {
                let kept = Value::Float(own.untracked()).scale(decay);
                own.set(kept.plus(&Value::Float(other.untracked()).scale(1.0 - decay)).into_tensor());
            }
        }
    }
}

impl Parameters for Averaged {
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

/// There is no optimizer.
impl Role for Averaged {
    fn moments(&self) -> Vec<String> {
        Vec::new()
    }

    fn moment(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        Err(no_moment(name))
    }

    fn set_moment(&mut self, name: &str, _: Vec<f32>) -> Result<(), TrainError> {
        Err(no_moment(name))
    }

    fn steps(&self) -> u64 {
        0
    }

    fn restart(&mut self, _: u64) {}
}

fn no_moment(name: &str) -> TrainError {
    TrainError::parameter("a moving average", name, "has no second moment")
}

//! AdamW with beta1 = 0 over one module: no first moment exists (register 3.9).

use std::collections::BTreeMap;

use burn::backend::DispatchTensor;

use super::graph_module::GraphModule;
use super::value::{Gradients, Value};
use crate::error::TrainError;
use crate::kernels;

/// Constants of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamSettings {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// The gradients of one module's parameters, by name; parameters that the loss does not depend on have none.
#[derive(Clone, Debug, Default)]
pub struct ParameterGradients {
    gradients: BTreeMap<String, Value>,
}

impl ParameterGradients {
    /// Takes the gradients of `module`'s trained parameters.
    pub fn take(module: &GraphModule, gradients: &mut Gradients) -> Self {
        let named = module.float_params().filter_map(|(name, _, param)| {
            let gradient = gradients.take(&Value::Float(param.tensor()))?;
            Some((name.to_string(), gradient))
        });
        Self { gradients: named.collect() }
    }

    /// The gradient of one parameter.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.gradients.get(name)
    }

    /// All gradients in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.gradients.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The L2 norm of all gradients together as it is logged: each tensor's squares are summed where they are, in f32, so that
    /// only one number of each leaves the device.
    ///
    /// # Errors
    /// When the device does not deliver them.
    pub fn logged_norm(&self) -> Result<f64, TrainError> {
        let squares = self.gradients.values().map(|gradient| gradient.square().sum().scalar());
        Ok(squares.sum::<Result<f64, _>>()?.sqrt())
    }

    /// The L2 norm of all gradients together, summed in f64.
    ///
    /// # Errors
    /// When the device does not deliver them.
    pub fn norm(&self) -> Result<f64, TrainError> {
        let mut sum = 0.0;
        for value in self.gradients.values() {
            sum += value.to_f32()?.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
        }
        Ok(sum.sqrt())
    }
}

/// The optimizer's state: one second moment per parameter and the number of steps.
#[derive(Clone, Debug)]
pub struct Adam {
    settings: AdamSettings,
    steps: u64,
    averages: BTreeMap<String, DispatchTensor>,
}

impl Adam {
    /// An optimizer that has not stepped yet.
    pub fn new(settings: AdamSettings) -> Self {
        Self { settings, steps: 0, averages: BTreeMap::new() }
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The learning rate.
    pub fn rate(&self) -> f64 {
        self.settings.rate
    }

    /// One step: `v ← β₂ v + (1-β₂) g²`, `w ← w - lr g / (√(v / (1-β₂ᵗ)) + ε)`, after the decoupled decay.
    pub fn step(&mut self, module: &mut GraphModule, mut gradients: ParameterGradients) {
        self.steps += 1;
        let settings = self.settings;
        let bias_correction = 1.0 - settings.beta2.powf(self.steps as f64);
        for (name, _, param) in module.float_params_mut() {
            let Some(gradient) = gradients.gradients.remove(&**name) else { continue };
            // Taken out, so that the step writes in place.
            let mut weight = param.take();
            if settings.weight_decay != 0.0 {
                weight = Value::Float(weight).scale(1.0 - settings.rate * settings.weight_decay).into_tensor();
            }
            let average = self.averages.remove(&**name);
            let average = average.unwrap_or_else(|| Value::Float(weight.clone()).zeros_like().into_tensor());
            let (weight, average) = kernels::adam_without_momentum(
                weight,
                gradient.tensor(),
                average,
                settings.rate,
                settings.beta2,
                settings.epsilon,
                bias_correction,
            );
            param.set(weight);
            self.averages.insert(name.to_string(), average);
        }
    }

    /// Names of the parameters that were updated, and so have a second moment.
    pub fn moments(&self) -> impl Iterator<Item = &str> {
        self.averages.keys().map(String::as_str)
    }

    /// The second moment of one parameter, on the host.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] where it has none; when the device does not deliver it.
    pub fn moment(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        let average =
            self.averages.get(name).ok_or_else(|| TrainError::parameter("the optimizer", name, "has no second moment"))?;
        Ok(Value::Float(average.clone()).to_f32()?)
    }

    /// Forgets every second moment and goes on counting from `steps`.
    pub fn restart(&mut self, steps: u64) {
        self.averages.clear();
        self.steps = steps;
    }

    /// Sets the second moment of a parameter of `module`.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] where there is no such parameter, or `values` are not as many as it has.
    pub fn set_moment(&mut self, module: &GraphModule, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.averages.insert(name.to_string(), module.value_for(name, values)?.into_tensor());
        Ok(())
    }
}

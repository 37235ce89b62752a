//! Weights in and out of a module, for checkpoints and students.

use std::collections::BTreeMap;

use super::graph_module::GraphModule;
use super::value::Value;
use crate::error::TrainError;

/// Sizes and values of tensors by name.
pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl GraphModule {
    /// Every float parameter on the host.
    ///
    /// # Errors
    /// When the device does not deliver them.
    pub fn weights(&self) -> Result<Weights, TrainError> {
        self.float_params()
            .map(|(name, param)| {
                let value = Value::Float(param.untracked());
                Ok((name.to_string(), (value.shape(), value.to_f32()?)))
            })
            .collect()
    }

    /// Replaces every float parameter; what is trained stays trained.
    ///
    /// # Errors
    /// When one is missing, unexpected or of another shape. Nothing is replaced then.
    pub fn load(&mut self, weights: &Weights) -> Result<(), TrainError> {
        let own: BTreeMap<String, Vec<usize>> =
            self.float_params_mut().map(|(name, shape, _)| (name.to_string(), shape.to_vec())).collect();
        for (name, shape) in &own {
            match weights.get(name) {
                None => return Err(TrainError::Invalid(format!("weight {name} is missing"))),
                Some((given, values)) if given != shape || values.len() != shape.iter().product::<usize>() => {
                    return Err(TrainError::Invalid(format!("weight {name} has shape {given:?}, not {shape:?}")));
                }
                Some(_) => {}
            }
        }
        if let Some(extra) = weights.keys().find(|name| !own.contains_key(*name)) {
            return Err(TrainError::Invalid(format!("weight {extra} belongs to no parameter")));
        }
        let device = self.device().clone();
        for (name, shape, param) in self.float_params_mut() {
            if let Some((_, values)) = weights.get(&**name) {
                param.set(Value::float(values.clone(), shape, &device)?.into_tensor());
            }
        }
        Ok(())
    }
}

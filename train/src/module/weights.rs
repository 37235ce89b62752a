//! Weights in and out of a module, one at a time, for checkpoints and students.

use std::collections::BTreeMap;

use super::graph_module::GraphModule;
use super::param::DynParam;
use super::value::Value;
use crate::error::TrainError;
use crate::store::Parameters;

/// Sizes and values of tensors by name.
pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl GraphModule {
    /// Every float parameter of this role's own on the host, for small networks.
    ///
    /// # Errors
    /// When the device does not deliver them.
    pub fn weights(&self) -> Result<Weights, TrainError> {
        let own = self.parameters().into_iter();
        own.map(|(name, shape)| Ok((name.clone(), (shape, self.parameter(&name)?)))).collect()
    }

    /// `values` on the module's device, in the shape of its parameter `name`.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] where there is no such parameter, or `values` are not as many as it has.
    pub(super) fn value_for(&self, name: &str, values: Vec<f32>) -> Result<Value, TrainError> {
        let (shape, _) = self.found(name)?;
        if values.len() != shape.iter().product::<usize>() {
            let problem = format!("has the shape {shape:?}, which cannot hold {} values", values.len());
            return Err(TrainError::parameter(self.plan().name(), name, problem));
        }
        Ok(Value::float(values, shape, self.device())?)
    }

    fn found(&self, name: &str) -> Result<(&[usize], &DynParam), TrainError> {
        let found = self.own_params().find(|(own, _, _)| &***own == name).map(|(_, shape, param)| (shape, param));
        found.ok_or_else(|| TrainError::parameter(self.plan().name(), name, "does not exist"))
    }
}

impl Parameters for GraphModule {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.own_params().map(|(name, shape, _)| (name.to_string(), shape.to_vec())).collect()
    }

    fn parameter(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        let (_, param) = self.found(name)?;
        Ok(Value::Float(param.untracked()).to_f32()?)
    }

    /// What is trained stays trained.
    fn set_parameter(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        let mut tensor = Some(self.value_for(name, values)?.into_tensor());
        for (own, _, param) in self.float_params_mut() {
            if &**own == name
                && let Some(tensor) = tensor.take()
            {
                param.set(tensor);
            }
        }
        Ok(())
    }
}

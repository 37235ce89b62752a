//! A recorded iteration: a safetensors file with draws, inputs, heads and results.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value as Json;

use crate::error::{TraceDefect, TrainError};
use crate::module::{AdamSettings, Value, Weights};

/// Sizes and values; integers are converted.
type Tensor = (Vec<usize>, Vec<f64>);

/// The file, read and decoded.
pub(crate) struct Trace {
    name: String,
    tensors: BTreeMap<String, Tensor>,
    method: String,
    teacher: String,
    options: Json,
    deviations: Json,
}

impl Trace {
    pub(crate) fn open(path: &Path) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(TrainError::read(path))?;
        let damaged = |reason: String| TrainError::damaged(path, reason);
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(format!("it is not safetensors ({error})")))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let field = |name: &str| metadata.get(name).cloned().ok_or_else(|| damaged(format!("its metadata lacks {name}")));
        let json = |what: &str, text: &str| serde_json::from_str(text).map_err(|error| damaged(format!("its {what}: {error}")));
        let options = json("options", &field("options")?)?;
        let deviations = metadata.get("deviation").map_or(Ok(Json::Null), |text| json("deviation", text))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let values = match view.dtype() {
                Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
                Dtype::F64 => view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                Dtype::I64 => view.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
                other => return Err(damaged(format!("{name} has type {other:?}"))),
            };
            tensors.insert(name, (view.shape().to_vec(), values));
        }
        Ok(Self {
            name: path.display().to_string(),
            tensors,
            method: field("method")?,
            teacher: metadata.get("teacher").cloned().unwrap_or_default(),
            options,
            deviations,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// The zoo's folder that every network starts from.
    pub(crate) fn teacher(&self) -> &str {
        &self.teacher
    }

    /// All tensors by name.
    pub(crate) fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// How far the recording's own float32 is from its float64: the largest difference by the root of the mean square.
    /// Zero where it does not say.
    pub(crate) fn deviation(&self, key: &str) -> f64 {
        self.deviations[key].as_f64().filter(|deviation| deviation.is_finite()).unwrap_or(0.0)
    }

    /// A number among the options.
    pub(crate) fn number(&self, option: &str) -> Result<f64, TrainError> {
        self.options[option].as_f64().ok_or_else(|| self.lacks(&format!("the option {option}")))
    }

    /// An option, null where it is not given.
    pub(crate) fn option(&self, option: &str) -> &Json {
        &self.options[option]
    }

    /// A list of texts among the options.
    pub(crate) fn texts(&self, option: &str) -> Result<Vec<String>, TrainError> {
        let list =
            self.options[option].as_array().map(|list| list.iter().map(|text| text.as_str().map(str::to_string)).collect());
        list.flatten().ok_or_else(|| self.lacks(&format!("the list of texts {option}")))
    }

    /// A list of numbers among the options.
    pub(crate) fn numbers(&self, option: &str) -> Result<Vec<f64>, TrainError> {
        let list = self.options[option].as_array().map(|list| list.iter().map(Json::as_f64).collect());
        list.flatten().ok_or_else(|| self.lacks(&format!("the list of numbers {option}")))
    }

    /// Sizes among the options.
    pub(crate) fn sizes(&self, option: &str) -> Result<Vec<usize>, TrainError> {
        Ok(self.numbers(option)?.into_iter().map(|size| size as usize).collect())
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The numbers of a tensor.
    pub(crate) fn values(&self, name: &str) -> Result<&[f64], TrainError> {
        self.tensors.get(name).map(|(_, values)| values.as_slice()).ok_or_else(|| self.lacks(name))
    }

    /// A tensor on the device.
    pub(crate) fn value(&self, name: &str, device: &Device) -> Result<Value, TrainError> {
        let (shape, values) = self.tensors.get(name).ok_or_else(|| self.lacks(name))?;
        Ok(Value::float(values.iter().map(|&value| value as f32).collect(), shape, device)?)
    }

    /// The initial heads of the taps for which `keep` holds.
    pub(crate) fn heads(&self, keep: impl Fn(&str) -> bool) -> Weights {
        self.weights("head.").into_iter().filter(|(name, _)| keep(name)).collect()
    }

    /// The tensors whose names begin with `prefix`, by the rest of their names.
    pub(crate) fn weights(&self, prefix: &str) -> Weights {
        let found = self.tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
        let floats = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        found.map(|(name, (shape, values))| (name.to_string(), (shape.clone(), floats(values)))).collect()
    }

    /// The optimizer of a role: AdamW with betas (0, 0.99), no decay.
    pub(crate) fn optimizer(&self, rate: &str) -> Result<AdamSettings, TrainError> {
        Ok(AdamSettings { rate: self.number(rate)?, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0 })
    }

    pub(super) fn lacks(&self, what: &str) -> TrainError {
        self.defect(TraceDefect::Lacks(what.to_string()))
    }

    /// An error about this trace.
    pub(crate) fn defect(&self, defect: TraceDefect) -> TrainError {
        TrainError::Trace { trace: self.name.clone(), defect }
    }
}

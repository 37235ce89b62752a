//! An ONNX model in the place of a component.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::model::{CLASS, open};
use crate::arch::ArchGraphs;
use crate::bind::bind;
use crate::component::Component;
use crate::error::Result;
use crate::hf::json::JsonFile;
use crate::options::ImportOptions;

/// Whether a path names an ONNX model.
pub(crate) fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

/// Reads a model file as a component with the one part `model`. Its configuration says where it comes from.
///
/// # Errors
/// As [`open`] and [`super::OnnxModel::to_graph`].
pub(crate) fn component(path: &Path, options: &ImportOptions) -> Result<Component> {
    let model = open(path, options)?;
    let graph = model.to_graph()?;
    let weights: BTreeMap<_, _> =
        graph.params().iter().filter_map(|(name, param)| Some((name.to_string(), param.weight.clone()?))).collect();
    let config = json!({"_class_name": CLASS, "opset": model.opset, "ir_version": model.ir_version, "producer": model.producer});
    let mut network = ArchGraphs::new(CLASS, vec![("model".into(), graph)], model.notes.clone());
    let report = bind(path, &mut network, &weights, options)?;
    let config = JsonFile { text: config.to_string(), value: config };
    Ok(Component::new(network, config, report))
}

//! One network with its weights, wherever they came from.

use std::path::Path;

use dmdx_graph::Graph;
use indexmap::IndexMap;
use serde_json::Value;

use crate::arch;
use crate::bind::{BindReport, bind_named};
use crate::error::Result;
use crate::hf::json::JsonFile;
use crate::hf::tensors::Tensors;
use crate::options::ImportOptions;
use crate::original::Naming;

/// A network: its graphs with weights, its configuration, and what the import found.
#[derive(Debug, Clone)]
pub struct Component {
    /// The reference class, such as `UNet2DConditionModel`.
    pub class: String,
    /// The configuration.
    pub config: Value,
    /// The configuration as it stood in the file.
    pub config_text: String,
    /// `unet` | `vae_encoder`, `vae_decoder` | `text_encoder` | `vision_encoder`, in this order.
    pub parts: IndexMap<String, Graph>,
    /// What the import found.
    pub report: BindReport,
}

impl Component {
    /// Puts a component together.
    pub(crate) fn new(network: arch::ArchGraphs, config: JsonFile, report: BindReport) -> Self {
        Self {
            class: network.class,
            config: config.value,
            config_text: config.text,
            parts: network.parts.into_iter().collect(),
            report,
        }
    }

    /// Number of parameter elements of all parts; a weight that two parts share counts once.
    pub fn param_elements(&self) -> u64 {
        let all = self.parts.values().flat_map(|graph| graph.params());
        let unique: std::collections::BTreeMap<_, _> = all.map(|(name, param)| (name, &param.shape)).collect();
        unique.values().map(|shape| shape.iter().map(|&size| size as u64).product::<u64>()).sum()
    }
}

/// Builds the network of a configuration and gives it its weights, which begin with `prefix` where one is given.
///
/// # Errors
/// When the configuration is not supported or the weights do not fit.
pub(crate) fn bind_component(
    path: &Path,
    json: JsonFile,
    tensors: Tensors,
    prefix: Option<&str>,
    options: &ImportOptions,
) -> Result<Component> {
    let mut network = arch::build_for_frames(&json.value, options.frames)?;
    let naming = match prefix {
        Some(prefix) => Some(Naming::at(prefix, &network, &tensors.weights)),
        None => Naming::detect(&network, &tensors.weights),
    };
    let mut report = bind_named(path, &mut network, &tensors.weights, naming.as_ref(), options)?;
    report.notes.splice(0..0, tensors.notes);
    Ok(Component::new(network, json, report))
}

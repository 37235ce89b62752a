//! One network with its weights, wherever they came from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dmdx_graph::{Graph, Weight};
use indexmap::IndexMap;
use serde_json::Value;

use crate::arch::{self, ArchGraphs};
use crate::bind::{BindReport, bind_named};
use crate::error::Result;
use crate::hf::json::JsonFile;
use crate::hf::tensors::Tensors;
use crate::options::ImportOptions;
use crate::original::{Naming, params};

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
    pub(crate) fn new(network: ArchGraphs, config: JsonFile, report: BindReport) -> Self {
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
        let unique: BTreeMap<_, _> = all.map(|(name, param)| (name, &param.shape)).collect();
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
    mut tensors: Tensors,
    prefix: Option<&str>,
    options: &ImportOptions,
) -> Result<Component> {
    let mut network = arch::build_for_frames(&json.value, options.frames)?;
    if prefix.is_none()
        && let Some(shared) = foreign_prefix(&network, &tensors.weights)
    {
        let bare = |(name, weight): (String, Weight)| (name[shared.len()..].to_string(), weight);
        tensors.weights = std::mem::take(&mut tensors.weights).into_iter().map(bare).collect();
        tensors.notes.push(format!("all tensors have `{shared}` before their names, which is removed"));
    }
    let naming = match prefix {
        Some(prefix) => Some(Naming::at(prefix, &network, &tensors.weights)),
        None => Naming::detect(&network, &tensors.weights),
    };
    let mut report = bind_named(path, &mut network, &tensors.weights, naming.as_ref(), options)?;
    report.notes.splice(0..0, tensors.notes);
    Ok(Component::new(network, json, report))
}

/// What stands before the names of all tensors of a file none of which the network knows, if it knows them without.
fn foreign_prefix(network: &ArchGraphs, weights: &BTreeMap<String, Weight>) -> Option<String> {
    let params: BTreeSet<&str> = params(network).collect();
    let knows = |name: &str| params.contains(name) || params.contains(&*network.canonical_name(name));
    if Naming::detect(network, weights).is_some() || weights.keys().any(|name| knows(name)) {
        return None;
    }
    let (first, last) = (weights.keys().next()?, weights.keys().next_back()?);
    // Sorted names have in common what the first and the last have.
    let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let ends = first.bytes().take(common).enumerate().filter(|(_, byte)| *byte == b'.').map(|(at, _)| at + 1);
    let prefixes: Vec<&str> = ends.filter_map(|end| first.get(..end)).collect();
    prefixes.into_iter().find(|prefix| weights.keys().any(|name| knows(&name[prefix.len()..]))).map(str::to_string)
}

//! One network with its weights, wherever they came from.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use dmdx_graph::Graph;
use dmdx_graph::weights::MappedFile;
use indexmap::IndexMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

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
    sources: Vec<(String, Arc<MappedFile>)>,
    hash: OnceLock<String>,
}

impl Component {
    /// Puts a component together; `sources` are the weight files by name.
    pub(crate) fn new(
        network: arch::ArchGraphs,
        config: JsonFile,
        report: BindReport,
        sources: Vec<(String, Arc<MappedFile>)>,
    ) -> Self {
        Self {
            class: network.class,
            config: config.value,
            config_text: config.text,
            parts: network.parts.into_iter().collect(),
            report,
            sources,
            hash: OnceLock::new(),
        }
    }

    /// Adds a file that changed the weights.
    pub(crate) fn add_source(&mut self, name: String, file: Arc<MappedFile>) {
        self.sources.push((name, file));
        self.hash = OnceLock::new();
    }

    /// SHA-256, in hexadecimal, over the configuration and the sorted names and SHA-256 of the weight files: which
    /// bytes this network came from. Reads every file once, at the first call.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let config = ("config.json", self.config_text.as_bytes());
            let files = self.sources.iter().map(|(name, file)| (name.as_str(), file.bytes()));
            let hashes = std::iter::once(config).chain(files).map(|(name, bytes)| (name.to_string(), sha256(bytes)));
            combined_hash(hashes.collect())
        })
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
    Ok(Component::new(network, json, report, tensors.files))
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 over sorted `name hash` lines.
pub(crate) fn combined_hash(mut hashes: Vec<(String, String)>) -> String {
    hashes.sort_unstable();
    let lines: String = hashes.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect();
    sha256(lines.as_bytes())
}

//! One network with its weights, from a folder, a weights file beside its configuration, or a converted file.

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
use crate::error::{ImportError, Result};
use crate::graph_file;
use crate::hf::config;
use crate::hf::json::JsonFile;
use crate::hf::tensors::{self, Tensors};
use crate::lora;
use crate::onnx;
use crate::options::ImportOptions;
use crate::original::{self, Naming};

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

/// Reads one component: a diffusers or transformers folder, a weights file or index beside its `config.json`, a file in
/// an original layout that holds one network, or a file written by `dmdx-import convert`. LoRA files are merged.
///
/// # Errors
/// In one sentence, whatever is wrong with the files; see [`ImportError`].
pub fn import(path: &Path, options: &ImportOptions) -> Result<Component> {
    let mut component = import_as(path, None, options)?;
    let name = lora::component_name(path, &component);
    let notes = lora::merge_files([(&name, &mut component)].into_iter(), false, options)?;
    component.report.notes.extend(notes);
    Ok(component)
}

/// As [`import`] without LoRA files, with the class that a pipeline names in place of the configuration's own.
pub(crate) fn import_as(path: &Path, class: Option<&str>, options: &ImportOptions) -> Result<Component> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ImportError::NotFound { path: path.into() },
        _ => ImportError::Read { path: path.into(), error },
    })?;
    if !metadata.is_dir() && onnx::is_model(path) {
        return onnx::component(path, options);
    }
    if !metadata.is_dir() {
        return from_tensors(tensors::split(path).0, path, tensors::open_path(path, options)?, class, options);
    }
    if path.join("model_index.json").is_file() && !path.join("config.json").is_file() {
        return Err(ImportError::IsPipeline { path: path.into() });
    }
    match tensors::open(path, options) {
        Ok(tensors) => from_tensors(path, path, tensors, class, options),
        Err(error) => match read_config(path, options) {
            // A folder that is no component at all is better described by the configuration that it lacks.
            Err(missing @ ImportError::NotFound { .. }) => Err(missing),
            _ => Err(error),
        },
    }
}

fn from_tensors(
    folder: &Path,
    path: &Path,
    mut tensors: Tensors,
    class: Option<&str>,
    options: &ImportOptions,
) -> Result<Component> {
    if graph_file::is_converted(&tensors.metadata) {
        return graph_file::component(path, tensors, options);
    }
    let single = original::holds_networks(&tensors.weights);
    let whole_config = options.config.as_ref().is_some_and(|folder| folder.join("model_index.json").is_file());
    let mut json = match read_config(options.config.as_deref().unwrap_or(folder), options) {
        // Without a configuration of its own the file may still say what it is.
        Err(ImportError::NotFound { .. }) if single > 1 => return Err(ImportError::IsPipeline { path: path.into() }),
        Err(ImportError::NotFound { .. }) if single == 1 || whole_config => {
            return original::only_network(path, tensors, options);
        }
        json => json?,
    };
    if let Some(class) = class {
        tensors.notes.extend(set_class(&mut json.value, class));
    }
    bind_component(path, json, tensors, None, options)
        .map_err(|error| if error.is_configuration() { error.at(&folder.join("config.json")) } else { error })
}

/// The `config.json` of a folder, or the configuration that an `open_clip_config.json` there describes.
fn read_config(folder: &Path, options: &ImportOptions) -> Result<JsonFile> {
    let missing = match config::read(folder, "config.json", &options.limits, &options.files) {
        Err(missing @ ImportError::NotFound { .. }) => missing,
        other => return other,
    };
    match config::read(folder, "open_clip_config.json", &options.limits, &options.files) {
        Err(ImportError::NotFound { .. }) => Err(missing),
        other => {
            let fail = |reason| ImportError::Json { path: folder.join("open_clip_config.json"), reason };
            let value = original::open_clip_config(&other?.value).map_err(fail)?;
            Ok(JsonFile { text: format!("{value:#}\n"), value })
        }
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

/// The reference library builds the class that the pipeline names, whatever the component's own file says.
pub(crate) fn set_class(config: &mut Value, class: &str) -> Option<String> {
    let own = arch::class_of(config).ok().map(str::to_string);
    if own.as_deref() == Some(class) {
        return None;
    }
    match config.get_mut("_class_name") {
        Some(name) => *name = class.into(),
        None => config["architectures"] = serde_json::json!([class]),
    }
    let own = own.unwrap_or_else(|| "none".into());
    Some(format!("the pipeline names the class {class}, which is used; the configuration itself names {own}"))
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

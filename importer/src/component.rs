//! One network with its weights, from a folder, a weights file beside its configuration, or a converted file.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use dmdx_graph::Graph;
use dmdx_graph::weights::MappedFile;
use indexmap::IndexMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::arch;
use crate::bind::{BindReport, bind};
use crate::error::{ImportError, Result};
use crate::graph_file;
use crate::hf::discover::Found;
use crate::hf::json::JsonFile;
use crate::hf::tensors::{self, Tensors};
use crate::hf::{config, discover};
use crate::options::ImportOptions;
use crate::path::open_given;

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

/// Reads one component: a diffusers or transformers folder, a `.safetensors` file or index beside its `config.json`, or
/// a file written by `dmdx-import convert`.
///
/// # Errors
/// In one sentence, whatever is wrong with the files; see [`ImportError`].
pub fn import(path: &Path, options: &ImportOptions) -> Result<Component> {
    import_as(path, None, options)
}

/// As [`import`], with the class that a pipeline names in place of the configuration's own.
pub(crate) fn import_as(path: &Path, class: Option<&str>, options: &ImportOptions) -> Result<Component> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ImportError::NotFound { path: path.into() },
        _ => ImportError::Read { path: path.into(), error },
    })?;
    if metadata.is_dir() {
        if path.join("model_index.json").is_file() && !path.join("config.json").is_file() {
            return Err(ImportError::IsPipeline { path: path.into() });
        }
        return match tensors::open(path, options) {
            Ok(tensors) => from_tensors(path, path, tensors, class, options),
            Err(error) => match config::read(path, "config.json", &options.limits, &options.files) {
                // A folder that is no component at all is better described by the configuration that it lacks.
                Err(missing @ ImportError::NotFound { .. }) => Err(missing),
                _ => Err(error),
            },
        };
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if name.ends_with(".index.json") {
        let found = Found { name: name.into(), sharded: true, variant: None };
        let tensors = tensors::open_found(folder, &found, options)?;
        return from_tensors(folder, path, tensors, class, options);
    }
    if discover::is_pickle(name) {
        return Err(ImportError::Pickle { path: folder.into(), files: vec![name.into()] });
    }
    let tensors = tensors::open_file(name, &open_given(path)?, options)?;
    from_tensors(folder, path, tensors, class, options)
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
    let mut json = config::read(folder, "config.json", &options.limits, &options.files)?;
    if let Some(class) = class {
        tensors.notes.extend(set_class(&mut json.value, class));
    }
    let at = |error: ImportError| error.at(&folder.join("config.json"));
    let mut network = arch::build(&json.value).map_err(at)?;
    let mut report = bind(path, &mut network, &tensors.weights, options)?;
    report.notes.splice(0..0, tensors.notes);
    Ok(Component::new(network, json, report, tensors.files))
}

/// The reference library builds the class that the pipeline names, whatever the component's own file says.
fn set_class(config: &mut Value, class: &str) -> Option<String> {
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

//! Whole pipelines: `model_index.json` and everything below it.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use crate::component::{Component, combined_hash, import_as, sha256};
use crate::error::{ImportError, Result};
use crate::hf::{config, tokenizer};
use crate::options::ImportOptions;
use crate::path::check_name;

/// Entries that no step from prompt to picture needs; they are left out with a note.
const NOT_NEEDED: [&str; 3] = ["feature_extractor", "image_encoder", "safety_checker"];

/// A pipeline of the diffusers layout.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The pipeline's class, such as `StableDiffusionXLPipeline`.
    pub class: String,
    /// The networks by folder, in the order of `model_index.json`.
    pub components: IndexMap<String, Component>,
    /// The contents of `scheduler/scheduler_config.json`.
    pub scheduler: Option<Value>,
    /// Folder name and path of every tokenizer, in the order of `model_index.json`.
    pub tokenizers: Vec<(String, PathBuf)>,
    /// The contents of `model_index.json`.
    pub model_index: Value,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Names and SHA-256 of the files that are not weights.
    files: Vec<(String, String)>,
}

impl Pipeline {
    /// SHA-256, in hexadecimal, over the sorted names and hashes of everything read: networks (their
    /// [`Component::hash`]), scheduler, tokenizers and `model_index.json`. Reads every weight file once.
    pub fn hash(&self) -> String {
        let networks = self.components.iter().map(|(name, component)| (name.clone(), component.hash().to_string()));
        combined_hash(networks.chain(self.files.iter().cloned()).collect())
    }
}

/// What an entry of `model_index.json` is.
enum Kind {
    Network,
    Scheduler,
    Tokenizer,
}

/// Whether a path is a pipeline folder.
pub fn is_pipeline(path: &Path) -> bool {
    path.join("model_index.json").is_file()
}

/// Reads a pipeline folder and every network in it.
///
/// # Errors
/// As [`crate::import`] for every component; unknown classes of all components are listed in one error.
pub fn import_pipeline(folder: &Path, options: &ImportOptions) -> Result<Pipeline> {
    let index = config::read(folder, "model_index.json", &options.limits, &options.files)?;
    let path = folder.join("model_index.json");
    let mut options = options.clone();
    // A link from one component into another stays inside what the user gave.
    options.files.roots.push(folder.into());
    let class = index.value.get("_class_name").and_then(Value::as_str).unwrap_or("(unnamed)");
    let mut pipeline = Pipeline {
        class: class.chars().take(80).collect(),
        components: IndexMap::new(),
        scheduler: None,
        tokenizers: Vec::new(),
        model_index: index.value.clone(),
        notes: Vec::new(),
        files: vec![("model_index.json".into(), sha256(index.text.as_bytes()))],
    };
    let mut unknown = Vec::new();
    for (name, class, kind) in entries(&path, &index.value, &options, &mut pipeline.notes)? {
        let place = folder.join(&name);
        match kind {
            Kind::Scheduler => {
                let json = config::read(&place, "scheduler_config.json", &options.limits, &options.files)?;
                pipeline.files.push((name, sha256(json.text.as_bytes())));
                pipeline.scheduler = Some(json.value);
            }
            Kind::Tokenizer => {
                for (file, bytes) in tokenizer::read(&place, &options.limits, &options.files)? {
                    pipeline.files.push((format!("{name}/{file}"), sha256(&bytes)));
                }
                pipeline.tokenizers.push((name, place));
            }
            Kind::Network => match import_as(&place, Some(&class), &options) {
                Ok(component) => {
                    pipeline.components.insert(name, component);
                }
                Err(error) if error.is_unknown_class() => unknown.push(format!("{name}: {class}")),
                Err(error) => return Err(error),
            },
        }
    }
    if unknown.is_empty() { Ok(pipeline) } else { Err(ImportError::UnknownPipelineClasses { path, classes: unknown }) }
}

/// The entries that name a class, with their names checked.
fn entries(path: &Path, index: &Value, options: &ImportOptions, notes: &mut Vec<String>) -> Result<Vec<(String, String, Kind)>> {
    let fail = |reason: String| ImportError::Json { path: path.into(), reason };
    let map = index.as_object().ok_or_else(|| fail("it should be an object { … }".into()))?;
    let mut entries = Vec::new();
    // Entries that are no list are settings, such as `force_zeros_for_empty_prompt`.
    for (name, value) in map.iter().filter(|(name, _)| !name.starts_with('_')) {
        let Some(list) = value.as_array() else { continue };
        let class = match list.as_slice() {
            [_, Value::Null] => continue,
            [Value::String(_), Value::String(class)] => class.chars().take(80).collect::<String>(),
            _ => return Err(fail(format!("`{name}` should be [library, class]"))),
        };
        if NOT_NEEDED.contains(&name.as_str()) {
            notes.push(format!("{name} ({class}) is not needed to generate and is left out"));
            continue;
        }
        let refuse = |reason: String| ImportError::Path { file: path.into(), name: name.clone(), reason };
        check_name(name).map_err(refuse)?;
        if name.contains('/') {
            return Err(refuse("is not the name of a folder beside it".into()));
        }
        let kind = match name.as_str() {
            "scheduler" => Kind::Scheduler,
            _ if class.contains("Tokenizer") => Kind::Tokenizer,
            _ => Kind::Network,
        };
        entries.push((name.clone(), class, kind));
    }
    if entries.is_empty() {
        return Err(fail("it names no component".into()));
    }
    if entries.len() > options.limits.components {
        return Err(ImportError::Limit {
            path: path.into(),
            what: "the number of components".into(),
            value: entries.len() as u128,
            limit: options.limits.components as u128,
            setting: "components",
        });
    }
    Ok(entries)
}

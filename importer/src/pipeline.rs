//! The networks of a whole pipeline, and what lies beside them.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::Value;

use crate::component::{Component, combined_hash};

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
    /// The contents of `model_index.json`; for a single file what it would be.
    pub model_index: Value,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Texts of `model_index.json` and of the scheduler's configuration, by relative path.
    pub(crate) texts: Vec<(String, String)>,
    /// Names and SHA-256 of the files that are not weights.
    pub(crate) files: Vec<(String, String)>,
}

impl Pipeline {
    /// SHA-256, in hexadecimal, over the sorted names and hashes of everything read: networks (their
    /// [`Component::hash`]), scheduler, tokenizers and `model_index.json`. Reads every weight file once.
    pub fn hash(&self) -> String {
        let networks = self.components.iter().map(|(name, component)| (name.clone(), component.hash().to_string()));
        combined_hash(networks.chain(self.files.iter().cloned()).collect())
    }
}

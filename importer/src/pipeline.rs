//! The networks of a whole pipeline, and what lies beside them.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::Value;

use crate::component::Component;
use crate::error::{ImportError, Result};
use crate::provenance::Origin;

/// The key of `model_index.json` under which a conversion leaves what it assumed; diffusers does not look at it.
pub(crate) const ASSUMED: &str = "_dmdx_assumed";

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
    /// Where it came from.
    pub(crate) origin: Origin,
}

impl Pipeline {
    /// What a conversion from a single file assumed because the file does not say it, in one sentence.
    pub fn assumed(&self) -> Option<&str> {
        self.model_index.get(ASSUMED).and_then(Value::as_str)
    }

    /// Refuses a pipeline of a single file without what is needed beside its networks to make pictures: tokenizers and a
    /// scheduler.
    ///
    /// # Errors
    /// [`ImportError::Incomplete`].
    pub fn require_complete(&self) -> Result<()> {
        let (path, mut lacks) = (&self.origin.path, Vec::new());
        if self.tokenizers.is_empty() {
            lacks.push("tokenizers");
        }
        if self.scheduler.is_none() {
            lacks.push("scheduler");
        }
        match path.is_file() && !lacks.is_empty() {
            true => Err(ImportError::Incomplete { path: path.clone(), lacks }),
            false => Ok(()),
        }
    }

    /// The texts of `model_index.json` and of the scheduler's configuration, by relative path.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// SHA-256, in hexadecimal, of all files that the pipeline came from: that of [`crate::provenance::sha256`], with the
    /// LoRA files that were merged and the configurations that were given. Reads every file once.
    ///
    /// # Errors
    /// [`crate::ImportError::Read`].
    pub fn hash(&self) -> Result<String> {
        self.origin.sha256()
    }
}

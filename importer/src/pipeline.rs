//! The networks of a whole pipeline, and what lies beside them.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::Value;

use crate::component::Component;
use crate::error::{ImportError, Result};
use crate::provenance::Origin;

/// The key of `model_index.json` under which a conversion leaves what it assumed; diffusers does not look at it.
pub(crate) const ASSUMED: &str = "_dmdx_assumed";

/// The key of `model_index.json` under which stands how many tokens of T5 the pipeline is given where that is not diffusers'
/// default: its argument `max_sequence_length`, for which diffusers has no place in its files. It skips keys that begin so.
const MAX_SEQUENCE_LENGTH: &str = "_dmdx_max_sequence_length";

/// The only pipeline with that argument whose networks do not state the number.
const HAS_MAX_SEQUENCE_LENGTH: &str = "StableDiffusion3Pipeline";

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

    /// States how many tokens of T5 the pipeline is given, which its students inherit.
    ///
    /// # Errors
    /// [`ImportError::MaxSequenceLength`] for a pipeline without that choice.
    pub(crate) fn set_max_sequence_length(&mut self, tokens: u16) -> Result<()> {
        if self.class != HAS_MAX_SEQUENCE_LENGTH {
            return Err(ImportError::MaxSequenceLength { class: self.class.clone() });
        }
        self.model_index[MAX_SEQUENCE_LENGTH] = tokens.into();
        self.origin.max_sequence_length = Some(tokens);
        let text = format!("{:#}\n", self.model_index);
        self.texts.iter_mut().filter(|(name, _)| name == "model_index.json").for_each(|(_, old)| old.clone_from(&text));
        Ok(())
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

//! Network classes of diffusers and transformers, built from their `config.json` alone.
//!
//! Every builder mirrors the module structure of its reference class: parameters carry the reference library's names,
//! every operation's origin and every mark is a dotted module path. Weights are attached later.

mod clip;
mod config;
mod resnet;
mod sam;
mod scope;
mod unet;
mod vae;

use std::borrow::Cow;

use dmdx_graph::Graph;
use serde_json::Value;

use crate::{ImportError, Result};

/// Builds the graphs of one configuration.
type Builder = fn(&str, &Value) -> Result<ArchGraphs>;

/// Every class that can be built.
const CLASSES: [(&str, Builder); 9] = [
    ("UNet2DConditionModel", unet::build),
    ("AutoencoderKL", vae::build),
    ("CLIPTextModel", clip::build_text),
    ("CLIPTextModelWithProjection", clip::build_text),
    ("CLIPVisionModel", clip::build_vision),
    ("CLIPVisionModelWithProjection", clip::build_vision),
    ("CLIPModel", clip::build_both),
    ("SamVisionModel", sam::build),
    ("SamModel", sam::build),
];

/// Tensors of a checkpoint that the graphs leave out on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// A tensor's full name, or a prefix that ends in a dot.
    pub pattern: &'static str,
    /// Why nothing is lost.
    pub reason: &'static str,
}

/// A module that older versions of the reference library called otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The old name, one segment of the dotted path.
    pub old: &'static str,
    /// The name now, one or more segments.
    pub new: &'static str,
}

/// What a configuration describes.
#[derive(Clone, Debug)]
pub struct ArchGraphs {
    /// The reference class.
    pub class: String,
    /// Graphs with declared parameters and no weights: `unet` | `vae_encoder`, `vae_decoder` | `text_encoder` |
    /// `vision_encoder`.
    pub parts: Vec<(String, Graph)>,
    /// Tensors that are not an error although no graph uses them.
    pub ignored: Vec<Ignored>,
    /// Names of older files.
    pub renames: Vec<Rename>,
    /// Sentences about configuration keys that were not understood.
    pub warnings: Vec<String>,
}

impl ArchGraphs {
    /// The present name of a tensor in a file.
    pub fn canonical_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if !name.split('.').any(|segment| self.renames.iter().any(|rename| rename.old == segment)) {
            return Cow::Borrowed(name);
        }
        let present = |segment| self.renames.iter().find(|rename| rename.old == segment).map_or(segment, |rename| rename.new);
        Cow::Owned(name.split('.').map(present).collect::<Vec<_>>().join("."))
    }

    /// Why a tensor is left out on purpose, if it is.
    pub fn ignored(&self, name: &str) -> Option<&'static str> {
        let fits = |pattern: &str| name == pattern || (pattern.ends_with('.') && name.starts_with(pattern));
        self.ignored.iter().find(|ignored| fits(ignored.pattern)).map(|ignored| ignored.reason)
    }
}

/// The reference classes that can be built.
pub fn classes() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|(name, _)| *name)
}

/// The class that a configuration names: `_class_name` (diffusers) or the first of `architectures` (transformers).
///
/// # Errors
/// When it names none.
pub fn class_of(config: &Value) -> Result<&str> {
    let architecture = || config.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
    config.get("_class_name").and_then(Value::as_str).or_else(architecture).ok_or(ImportError::NoClass)
}

/// The graphs of a `config.json`, with declared parameters and without weights.
///
/// # Errors
/// When the class or a configuration value is not supported; the message names key, value and what is supported.
pub fn build(config: &Value) -> Result<ArchGraphs> {
    let class = class_of(config)?;
    match CLASSES.iter().find(|(name, _)| *name == class) {
        Some((_, builder)) => builder(class, config),
        None => {
            let class = class.chars().take(80).collect();
            Err(ImportError::UnknownClass { class, known: classes().map(Into::into).collect() })
        }
    }
}

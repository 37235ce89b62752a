//! What a LoRA file is, before anything is known of the model that it changes: kind, rank, networks, base.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use dmdx_graph::Weight;
use serde::Serialize;

use crate::error::Result;
use crate::hf::tensors;
use crate::hf::wrappers;
use crate::options::ImportOptions;

type Weights = BTreeMap<String, Weight>;

/// What parts of names say about the kind of change; the first that occurs is the file's.
const KINDS: [(&str, &str); 12] = [
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("hada_w1_a", "LoHa"),
    ("lokr_w1", "LoKr"),
    (".lora_mid.", "LoCon in Tucker form"),
    (".oft_", "OFT"),
    (".lora_A.", "LoRA"),
    (".lora_down.", "LoRA"),
    (".lora.down.", "LoRA"),
    ("_lora.down.", "LoRA"),
    (".lora_linear_layer.down.", "LoRA"),
    (".diff", "full differences"),
];
/// Parts of names that only changes of a model have.
const PARTS: [&str; 18] = [
    ".lora_A.",
    ".lora_B.",
    ".lora_down.",
    ".lora_up.",
    ".lora.down.",
    ".lora.up.",
    "_lora.down.",
    "_lora.up.",
    ".lora_linear_layer.",
    ".lora_mid.",
    ".alpha",
    ".hada_",
    ".lokr_",
    ".dora_scale",
    ".lora_magnitude_vector",
    ".oft_",
    ".diff",
    "bundle_emb.",
];
/// The matrix whose first dimension is the rank.
const RANKED: [&str; 8] = [
    ".lora_A.",
    ".lora_down.",
    ".lora.down.",
    "_lora.down.",
    ".lora_linear_layer.down.",
    ".hada_w1_b",
    ".lokr_w1_b",
    ".lokr_w2_b",
];
/// Networks by how names begin.
const NETWORKS: [(&str, &str); 17] = [
    ("lora_unet_", "unet"),
    ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te3_", "text_encoder_3"),
    ("lora_te_", "text_encoder"),
    ("lora_transformer_", "transformer"),
    ("lora_prior_", "prior"),
    ("lora_vae_", "vae"),
    ("unet.", "unet"),
    ("transformer.", "transformer"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder_3.", "text_encoder_3"),
    ("text_encoder.", "text_encoder"),
    ("text_encoders.", "text encoders"),
    ("diffusion_model.", "the denoising network"),
    ("vae.", "vae"),
    ("bundle_emb.", "embeddings"),
];
/// What metadata say about the model.
const BASES: [&str; 5] =
    ["modelspec.architecture", "ss_base_model_version", "ss_sd_model_name", "base_model_name_or_path", "base_model"];

/// A LoRA file, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoraSummary {
    /// LoRA, LoHa, ….
    pub kind: &'static str,
    /// Every rank that occurs.
    pub ranks: BTreeSet<usize>,
    /// Number of tensors.
    pub keys: usize,
    /// Changed modules by network.
    pub modules: BTreeMap<String, usize>,
    /// The model that it is for, as its shapes say.
    pub base: Option<String>,
    /// What its metadata say about that.
    pub stated: BTreeMap<String, String>,
    /// The first names.
    pub examples: Vec<String>,
}

/// Whether a name has such a part; those that are the end of names have it there.
fn has(name: &str, part: &str) -> bool {
    match part {
        ".diff" => name.ends_with(".diff") || name.ends_with(".diff_b"),
        ".alpha" => name.ends_with(part),
        part => name.contains(part),
    }
}

/// Whether a file holds changes of a model instead of a model.
pub(crate) fn is_lora(weights: &Weights) -> bool {
    let named = |parts: &[&str]| weights.keys().filter(|name| parts.iter().any(|part| has(name, part))).count();
    let kinds: Vec<&str> = KINDS.iter().map(|(part, _)| *part).filter(|part| *part != ".diff").collect();
    // One matrix decides, unless it lies among the weights of a whole model.
    named(&kinds) > 0 && 2 * named(&PARTS) >= weights.len() || (!weights.is_empty() && named(&[".diff"]) == weights.len())
}

/// Describes a LoRA file, or the one in a folder of PEFT's.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn describe(path: &Path, options: &ImportOptions) -> Result<LoraSummary> {
    let mut file = match path.is_dir() {
        true => tensors::open_path(&path.join(ADAPTER), options)?,
        false => tensors::open_path(path, options)?,
    };
    wrappers::unwrap(&mut file);
    Ok(LoraSummary::of(&file.weights, &file.metadata))
}

/// What PEFT calls its file.
pub(crate) const ADAPTER: &str = "adapter_model.safetensors";

impl LoraSummary {
    /// Of the tensors and metadata of a file.
    pub(crate) fn of(weights: &Weights, metadata: &BTreeMap<String, String>) -> Self {
        let kind = KINDS.iter().find(|(part, _)| weights.keys().any(|name| has(name, part)));
        let ranked = weights.iter().filter(|(name, _)| RANKED.iter().any(|part| name.contains(part)));
        let mut modules: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for name in weights.keys() {
            modules.entry(network(name).into()).or_default().insert(module(name));
        }
        let stated = BASES.iter().filter_map(|key| metadata.get_key_value(*key));
        Self {
            kind: kind.map_or("change of weights", |(_, kind)| kind),
            ranks: ranked.filter_map(|(_, weight)| weight.shape().first().copied()).collect(),
            keys: weights.len(),
            modules: modules.into_iter().map(|(network, modules)| (network, modules.len())).collect(),
            base: base(weights),
            stated: stated.map(|(key, value)| (key.clone(), value.chars().take(120).collect())).collect(),
            examples: weights.keys().take(3).cloned().collect(),
        }
    }

    /// In a few words.
    pub(crate) fn short(&self) -> String {
        let ranks: Vec<String> = self.ranks.iter().take(8).map(ToString::to_string).collect();
        let modules: Vec<String> =
            self.modules.iter().map(|(network, count)| format!("{} of {network}", counted(*count))).collect();
        let rank = if ranks.is_empty() { String::new() } else { format!("rank {}, ", ranks.join(" and ")) };
        let base = self.base.as_ref().map_or_else(String::new, |base| format!(", for {base}"));
        format!("a file of changes to a model ({}, {rank}{}{base})", self.kind, modules.join(" and "))
    }
}

fn counted(modules: usize) -> String {
    if modules == 1 { "1 module".into() } else { format!("{modules} modules") }
}

/// The network that a name belongs to.
fn network(name: &str) -> &'static str {
    let name = name.strip_prefix("base_model.model.").unwrap_or(name);
    let found = NETWORKS.iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map_or("a network without a name", |(_, network)| network)
}

/// The module that a name changes.
fn module(name: &str) -> &str {
    let ends = PARTS.iter().filter(|part| has(name, part)).filter_map(|part| name.rfind(part));
    &name[..ends.min().unwrap_or(name.len())]
}

/// The model whose sizes the matrices have.
fn base(weights: &Weights) -> Option<String> {
    let first = |name: &str| RANKED.iter().any(|part| name.contains(part));
    let inner = |names: &[&str]| {
        let mut found = weights.iter().filter(|(name, _)| first(name) && names.iter().all(|part| name.contains(part)));
        found.next().and_then(|(_, weight)| weight.shape().get(1).copied())
    };
    if weights.keys().any(|name| name.contains("single_transformer_blocks") || name.contains("double_blocks")) {
        return Some("FLUX, which is not supported".into());
    }
    // The keys of cross-attention read the text; SD3's and CogVideoX' blocks their own width.
    let by_text = inner(&["attn2", "to_k"]).and_then(|width| {
        let title = match width {
            768 => "Stable Diffusion 1",
            1024 => "Stable Diffusion 2",
            1280 => "Stable Diffusion XL refiner",
            2048 => "Stable Diffusion XL",
            _ => return None,
        };
        Some(format!("{title} (its text is {width} wide)"))
    });
    let by_width = || {
        let width = inner(&["transformer_blocks", "to_q"]).or_else(|| inner(&["joint_blocks", "qkv"]))?;
        let title = match width {
            1536 => "Stable Diffusion 3 Medium or 3.5 Medium",
            1920 => "CogVideoX-2b",
            2432 => "Stable Diffusion 3.5 Large",
            3072 => "CogVideoX-5b",
            _ => return None,
        };
        Some(format!("{title} (its blocks are {width} wide)"))
    };
    by_text.or_else(by_width)
}

impl fmt::Display for LoraSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} file, to be merged into a model with --lora", self.kind)?;
        let ranks: Vec<String> = self.ranks.iter().map(ToString::to_string).collect();
        writeln!(f, "  rank: {}", if ranks.is_empty() { "none".into() } else { ranks.join(", ") })?;
        for (network, count) in &self.modules {
            writeln!(f, "  {network}: {}", counted(*count))?;
        }
        writeln!(f, "  base by its shapes: {}", self.base.as_deref().unwrap_or("not told"))?;
        self.stated.iter().try_for_each(|(key, value)| writeln!(f, "  it says {key}: {value}"))?;
        writeln!(f, "  keys: {} such as {}", self.keys, self.examples.join(", "))
    }
}

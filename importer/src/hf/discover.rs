//! Which weights a component folder holds, by the names that diffusers and transformers write.

use std::path::Path;

use crate::error::{ImportError, Result};
use crate::limits::{Limits, within};
use crate::path::check_name;

/// File names without extension in the order in which they are looked for: those of `save_pretrained` (diffusers,
/// transformers), then that of open_clip.
const STEMS: [&[&str]; 2] = [&["diffusion_pytorch_model", "model"], &["open_clip_model"]];
/// The same for pickle files.
const PICKLE_STEMS: [&[&str]; 2] = [&["diffusion_pytorch_model", "pytorch_model"], &["open_clip_pytorch_model"]];
/// Extensions of files that Python unpickles.
const PICKLE: [&str; 6] = ["bin", "ckpt", "pt", "pth", "pkl", "pickle"];

/// Extensions of other frameworks' weights: Flax, Keras, TensorFlow, llama.cpp.
const UNREAD: [&str; 6] = ["msgpack", "h5", "keras", "pb", "tflite", "gguf"];

/// The set of weights that will be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The file or the index of its shards.
    pub name: String,
    /// Whether `name` is an index.
    pub sharded: bool,
    /// The variant, such as `fp16`.
    pub variant: Option<String>,
}

impl Found {
    /// A file or index that the user named.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.into(), sharded: name.ends_with(".index.json"), variant: None }
    }
}

/// Finds the weights of a folder. Without a variant the plain files are read; if there are none but exactly one
/// variant is there, that one. Pickle files are looked at only if `allow_pickle` and there is nothing else.
///
/// # Errors
/// When there are none, only pickle files, or several sets between which nothing decides.
pub(super) fn weights(folder: &Path, variant: Option<&str>, allow_pickle: bool, limits: &Limits) -> Result<Found> {
    if let Some(variant) = variant {
        check_name(variant).map_err(|rule| ImportError::Path { file: folder.into(), name: variant.into(), rule })?;
    }
    let names = list(folder, limits)?;
    let mut kinds: Vec<(&[&str], &str)> = STEMS.iter().map(|stems| (*stems, "safetensors")).collect();
    if allow_pickle {
        kinds.extend(PICKLE_STEMS.iter().map(|stems| (*stems, "bin")));
    }
    let found = |(stems, extension): (&[&str], &str)| {
        let found: Vec<Found> = names.iter().filter_map(|name| classify(name, stems, extension)).collect();
        Some(found).filter(|found| !found.is_empty())
    };
    let all = kinds.into_iter().find_map(found).unwrap_or_default();
    let of =
        |wanted: Option<&str>| -> Vec<Found> { all.iter().filter(|found| found.variant.as_deref() == wanted).cloned().collect() };
    let mut candidates = of(variant);
    if candidates.is_empty() && variant.is_none() {
        candidates = all.clone();
    }
    match candidates.len() {
        1 => Ok(candidates.remove(0)),
        0 if all.is_empty() => Err(nothing(folder, variant, &names)),
        0 => Err(no_weights(folder, variant, &names)),
        _ => Err(ImportError::Ambiguous { path: folder.into(), found: candidates.into_iter().map(|found| found.name).collect() }),
    }
}

/// Whether a folder holds safetensors weights of a variant, and whether it holds plain ones. A folder that cannot be read
/// holds neither; opening it says why.
pub(crate) fn has_variant(folder: &Path, variant: &str, limits: &Limits) -> (bool, bool) {
    let names = list(folder, limits).unwrap_or_default();
    let found: Vec<Found> =
        STEMS.iter().flat_map(|stems| names.iter().filter_map(|name| classify(name, stems, "safetensors"))).collect();
    let has = |wanted: Option<&str>| found.iter().any(|found| found.variant.as_deref() == wanted);
    (has(Some(variant)), has(None))
}

/// Splits `stem[.variant].safetensors`, `stem[.variant].safetensors.index.json` and
/// `stem.safetensors.index.variant.json` into its parts; the same for `bin`.
fn classify(name: &str, stems: &[&str], extension: &str) -> Option<Found> {
    let found = |variant: &str, sharded| Found {
        name: name.into(),
        sharded,
        variant: Some(variant.trim_matches('.').to_string()).filter(|v| !v.is_empty()),
    };
    for stem in stems {
        let Some(rest) = name.strip_prefix(stem).filter(|rest| rest.starts_with('.')) else { continue };
        if let Some(variant) = rest.strip_suffix(&format!(".{extension}")) {
            return Some(found(variant, false));
        }
        if let Some(variant) = rest.strip_suffix(&format!(".{extension}.index.json")) {
            return Some(found(variant, true));
        }
        let index = format!(".{extension}.index.");
        if let Some(variant) = rest.strip_prefix(&index).and_then(|r| r.strip_suffix(".json")) {
            return Some(found(variant, true));
        }
    }
    None
}

/// Whether Python would unpickle a file of this name.
pub(crate) fn is_pickle(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| PICKLE.contains(&extension))
}

fn nothing(folder: &Path, variant: Option<&str>, names: &[String]) -> ImportError {
    let files: Vec<String> = names.iter().filter(|name| is_pickle(name)).cloned().collect();
    match files.is_empty() {
        true => no_weights(folder, variant, names),
        false => ImportError::Pickle { path: folder.into(), files },
    }
}

fn no_weights(folder: &Path, variant: Option<&str>, names: &[String]) -> ImportError {
    let middle = variant.map_or_else(String::new, |variant| format!(".{variant}"));
    let wanted = STEMS[0].iter().map(|stem| format!("{stem}{middle}.safetensors")).collect();
    // Of another variant than the one that was asked for nothing is meant.
    let is_set = |name: &String| STEMS.iter().any(|stems| classify(name, stems, "safetensors").is_some());
    let extension = |name: &String| name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let of = |wanted: &[&str]| -> Vec<String> {
        let is = |name: &&String| extension(name).is_some_and(|e| wanted.contains(&e.as_str())) && !is_set(name);
        names.iter().filter(is).cloned().collect()
    };
    let files = if names.iter().any(is_set) { Vec::new() } else { of(&["safetensors", "onnx"]) };
    ImportError::NoWeights { path: folder.into(), wanted, files, unread: of(&UNREAD) }
}

/// The names in a folder, sorted; names that are not UTF-8 are none that the libraries write.
fn list(folder: &Path, limits: &Limits) -> Result<Vec<String>> {
    let read = |error| ImportError::reading(folder, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        within(folder, "the number of files", names.len() + 1, limits.folder_entries, "folder_entries")?;
        if let Ok(name) = entry.map_err(read)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

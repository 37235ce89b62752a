//! All tensors of a component, from one file or from shards, mapped and validated but not read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dmdx_graph::Weight;
use dmdx_graph::weights::MappedFile;

use super::discover::{self, Found};
use super::first_bytes;
use super::index;
use super::safetensors;
use super::scaled;
use crate::defects::shortened;
use crate::error::{ImportError, Result};
use crate::limits::within;
use crate::options::ImportOptions;
use crate::path::{OpenFile, open_given, open_known, open_named, split};
use crate::pickle;
use crate::tensor_file::TensorFile;

/// The tensors of a component and where they come from.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    /// Every tensor by name.
    pub weights: BTreeMap<String, Weight>,
    /// The files by name, sorted.
    pub files: Vec<(String, Arc<MappedFile>)>,
    /// The `__metadata__` of a single file; empty for shards.
    pub metadata: BTreeMap<String, String>,
    /// What the user should know: which variant was read, tensors that no index mentions.
    pub notes: Vec<String>,
}

/// Opens the weights of a component folder.
///
/// # Errors
/// When there are none, a shard is missing, or a file breaks a rule.
pub fn open(folder: &Path, options: &ImportOptions) -> Result<Tensors> {
    let found = discover::weights(folder, options.variant.as_deref(), options.allow_pickle, &options.limits)?;
    let mut tensors = scaled(folder, open_found(folder, &found, options)?)?;
    if let (None, Some(variant)) = (&options.variant, &found.variant) {
        tensors.notes.push(format!("only the variant `{variant}` is there ({}); it is used", found.name));
    }
    Ok(tensors)
}

/// Opens one set of weights of a folder.
///
/// # Errors
/// As [`open`].
fn open_found(folder: &Path, found: &Found, options: &ImportOptions) -> Result<Tensors> {
    match found.sharded {
        true => open_shards(folder, &found.name, options),
        false => open_file(&found.name, &open_known(folder, &found.name, &options.files)?, options),
    }
}

/// Opens a weights file or an index of shards that the user named.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_path(path: &Path, options: &ImportOptions) -> Result<Tensors> {
    let (folder, name) = split(path);
    let tensors = match Found::named(name) {
        found if found.sharded => open_found(folder, &found, options),
        found => open_file(&found.name, &open_given(path)?, options),
    };
    scaled(path, tensors?)
}

/// With the numbers that stand beside 8-bit floats multiplied in, which may lie in another shard.
fn scaled(path: &Path, mut tensors: Tensors) -> Result<Tensors> {
    scaled::apply(path, &mut tensors.weights, &mut tensors.notes)?;
    Ok(tensors)
}

/// Opens one safetensors file, or a pickle file if the options allow it.
///
/// # Errors
/// When it is something else, or breaks a rule of the format or a limit.
pub(crate) fn open_file(name: &str, open: &OpenFile, options: &ImportOptions) -> Result<Tensors> {
    let head = first_bytes::head(open)?;
    if let Some(kind) = first_bytes::foreign(&head, open.length) {
        return Err(ImportError::Foreign { path: open.path.clone(), kind });
    }
    // The contents decide, where they say what they are: there are safetensors files called .bin and the reverse.
    let named = discover::is_pickle(name) && !first_bytes::is_safetensors(&head);
    if !named && !first_bytes::is_pickle(&head) {
        return Ok(from_file(name, safetensors::read(open, &options.limits)?));
    }
    if !options.allow_pickle {
        return Err(ImportError::PickleFile { path: open.path.clone() });
    }
    Ok(from_file(name, pickle::read(open, &options.limits)?))
}

fn from_file(name: &str, file: TensorFile) -> Tensors {
    let files = vec![(name.into(), file.file)];
    Tensors { weights: file.tensors, files, metadata: file.metadata, notes: file.notes }
}

fn open_shards(folder: &Path, name: &str, options: &ImportOptions) -> Result<Tensors> {
    let (opened, shards) = index::read(folder, name, &options.limits, &options.files)?;
    let path = opened.path;
    let mut all = Tensors::default();
    let mut extra = Vec::new();
    let mut mapped = 0u64;
    for (shard, names) in &shards {
        let open = open_named(folder, &path, shard, &options.files).map_err(|error| match error {
            ImportError::NotFound { .. } => {
                ImportError::MissingShard { index: path.clone(), shard: shard.clone(), tensors: names.len() }
            }
            other => other,
        })?;
        mapped = mapped.saturating_add(open.length);
        within(&path, "the size of all shards in bytes", mapped, options.limits.mapped_bytes, "mapped_bytes")?;
        let mut file = open_file(shard, &open, options)?;
        let missing: Vec<String> = names.iter().filter(|name| !file.weights.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            return Err(ImportError::Index { index: path, shard: shard.clone(), missing });
        }
        for name in names {
            if let Some(weight) = file.weights.remove(name) {
                all.weights.insert(name.clone(), weight);
            }
        }
        extra.extend(file.weights.into_keys().map(|name| format!("{name} ({shard})")));
        all.files.append(&mut file.files);
    }
    if !extra.is_empty() {
        let listed = shortened(&extra);
        all.notes.push(format!("{} tensor(s) lie in shards without being in the index and are not read: {listed}", extra.len()));
    }
    Ok(all)
}

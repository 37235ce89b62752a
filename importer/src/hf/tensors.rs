//! All tensors of a component, from one file or from shards, mapped and validated but not read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dmdx_graph::Weight;
use dmdx_graph::weights::MappedFile;

use super::discover::{self, Found};
use super::index;
use super::safetensors::{self, TensorFile};
use crate::error::{ImportError, Result};
use crate::options::ImportOptions;
use crate::path::{OpenFile, open_known, open_named};

/// The tensors of a component and where they come from.
#[derive(Debug, Default)]
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
    let found = discover::weights(folder, options.variant.as_deref(), &options.limits)?;
    let mut tensors = open_found(folder, &found, options)?;
    if let (None, Some(variant)) = (&options.variant, &found.variant) {
        tensors.notes.push(format!("only the variant `{variant}` is there ({}); it is used", found.name));
    }
    Ok(tensors)
}

/// Opens one set of weights of a folder.
///
/// # Errors
/// As [`open`].
pub fn open_found(folder: &Path, found: &Found, options: &ImportOptions) -> Result<Tensors> {
    if found.sharded {
        return open_shards(folder, &found.name, options);
    }
    let open = open_known(folder, &found.name, &options.files)?;
    let file = safetensors::read(&open, &options.limits)?;
    Ok(from_file(&found.name, file))
}

/// Opens one safetensors file.
///
/// # Errors
/// When it breaks a rule of the format or a limit.
pub fn open_file(name: &str, open: &OpenFile, options: &ImportOptions) -> Result<Tensors> {
    Ok(from_file(name, safetensors::read(open, &options.limits)?))
}

fn from_file(name: &str, file: TensorFile) -> Tensors {
    let files = vec![(name.into(), file.file)];
    Tensors { weights: file.tensors, files, metadata: file.metadata, notes: Vec::new() }
}

fn open_shards(folder: &Path, name: &str, options: &ImportOptions) -> Result<Tensors> {
    let (opened, shards) = index::read(folder, name, &options.limits, &options.files)?;
    let path = opened.path;
    let fail = |reason: String| ImportError::Index { index: path.clone(), reason };
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
        if mapped > options.limits.mapped_bytes {
            return Err(ImportError::Limit {
                path: path.clone(),
                what: "the size of all shards in bytes".into(),
                value: mapped.into(),
                limit: options.limits.mapped_bytes.into(),
                setting: "mapped_bytes",
            });
        }
        let mut file = safetensors::read(&open, &options.limits)?;
        let absent: Vec<String> = names.iter().filter(|name| !file.tensors.contains_key(*name)).cloned().collect();
        if !absent.is_empty() {
            let listed = crate::defects::shortened(&absent);
            return Err(fail(format!("{shard:?} lacks {listed}, which the index places there; download both again")));
        }
        for name in names {
            if let Some(weight) = file.tensors.remove(name) {
                all.weights.insert(name.clone(), weight);
            }
        }
        extra.extend(file.tensors.into_keys().map(|name| format!("{name} ({shard})")));
        all.files.push((shard.clone(), file.file));
    }
    if !extra.is_empty() {
        let listed = crate::defects::shortened(&extra);
        all.notes.push(format!("{} tensor(s) lie in shards without being in the index and are not read: {listed}", extra.len()));
    }
    Ok(all)
}

//! All tensors of a component, from one file or from shards, mapped and validated but not read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use dmdx_graph::Weight;
use dmdx_graph::weights::MappedFile;

use super::discover::{self, Found};
use super::index;
use super::safetensors;
use crate::error::{ImportError, Result};
use crate::options::ImportOptions;
use crate::path::{OpenFile, open_given, open_known, open_named};
use crate::pickle;
use crate::tensor_file::TensorFile;

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
    let found = discover::weights(folder, options.variant.as_deref(), options.allow_pickle, &options.limits)?;
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
    match found.sharded {
        true => open_shards(folder, &found.name, options),
        false => open_file(&found.name, &open_known(folder, &found.name, &options.files)?, options),
    }
}

/// Opens a weights file or an index of shards that the user named.
///
/// # Errors
/// As [`open`].
pub fn open_path(path: &Path, options: &ImportOptions) -> Result<Tensors> {
    let (folder, name) = split(path);
    match Found::named(name) {
        found if found.sharded => open_found(folder, &found, options),
        found => open_file(&found.name, &open_given(path)?, options),
    }
}

/// The folder of a file, and its name.
pub fn split(path: &Path) -> (&Path, &str) {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (folder, path.file_name().and_then(OsStr::to_str).unwrap_or_default())
}

/// Opens one safetensors file, or a pickle file if the options allow it.
///
/// # Errors
/// When it breaks a rule of the format or a limit.
pub fn open_file(name: &str, open: &OpenFile, options: &ImportOptions) -> Result<Tensors> {
    if !discover::is_pickle(name) {
        return Ok(from_file(name, safetensors::read(open, &options.limits)?));
    }
    if !options.allow_pickle {
        return Err(ImportError::Pickle { path: split(&open.path).0.into(), files: vec![name.into()] });
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
        let mut file = open_file(shard, &open, options)?;
        let absent: Vec<String> = names.iter().filter(|name| !file.weights.contains_key(*name)).cloned().collect();
        if !absent.is_empty() {
            let listed = crate::defects::shortened(&absent);
            return Err(fail(format!("{shard:?} lacks {listed}, which the index places there; download both again")));
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
        let listed = crate::defects::shortened(&extra);
        all.notes.push(format!("{} tensor(s) lie in shards without being in the index and are not read: {listed}", extra.len()));
    }
    Ok(all)
}

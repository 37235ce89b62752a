//! Which bytes a model came from: the files that count, and one hash of them all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dmdx_graph::store::hash;

use crate::error::{ImportError, Result};
use crate::path::located;

/// Folders deeper than this are no model.
const MAX_DEPTH: usize = 8;
/// What a folder of a pipeline has at least one of.
const COMPONENT: [&str; 4] = ["config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json"];

/// The files of a model folder by their paths in it: `model_index.json` or `config.json`, safetensors, and everything in
/// folders that hold a component. Other files beside them (a recipe, a card) and other folders (runs, a download's cache)
/// are no part of the model.
///
/// # Errors
/// [`ImportError::Read`].
pub fn files(folder: &Path) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let folder = &located(folder)?;
    walk(folder, "", 0, &mut files)?;
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeSet<String>) -> Result<()> {
    let fail = |error| ImportError::Read { path: folder.into(), error };
    if depth > MAX_DEPTH {
        return Err(fail(std::io::Error::other("it lies in more folders within folders than any model has")));
    }
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let inner = format!("{prefix}{name}");
        if path.is_dir() {
            if depth == 0 && !COMPONENT.iter().any(|file| path.join(file).is_file()) {
                continue;
            }
            walk(&path, &format!("{inner}/"), depth + 1, files)?;
        } else if depth > 0 || ["model_index.json", "config.json"].contains(&name.as_str()) || name.ends_with(".safetensors") {
            files.insert(inner);
        }
    }
    Ok(())
}

/// The SHA-256, in hexadecimal, of every file of a model: of [`files`] by their paths in the folder, or of one file by its
/// name.
///
/// # Errors
/// [`ImportError::Read`].
pub fn hashes(path: &Path) -> Result<BTreeMap<String, String>> {
    let path = &located(path)?;
    if path.is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok([(name, file(path)?)].into());
    }
    files(path)?.into_iter().map(|name| Ok((name.clone(), file(&path.join(name))?))).collect()
}

/// One hash of a model, in hexadecimal: that of a file where it is one, otherwise the SHA-256 of the lines `hash  path` of
/// all its files in the order of the paths.
///
/// # Errors
/// [`ImportError::Read`].
pub fn sha256(path: &Path) -> Result<String> {
    if path.is_file() { file(path) } else { Ok(hash::named(&hashes(path)?)) }
}

fn file(path: &Path) -> Result<String> {
    hash::file(path).map(|file| file.sha256).map_err(|error| ImportError::Read { path: path.into(), error })
}

/// Where a pipeline came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// The folder or file.
    pub path: PathBuf,
    /// The folder that was given for the configurations, if one was.
    pub config: Option<PathBuf>,
    /// Files that were merged into the weights, by what was done with them.
    pub merged: Vec<(String, PathBuf)>,
    /// How many tokens of T5 were asked for, if that was.
    pub max_sequence_length: Option<u16>,
}

impl Origin {
    /// [`sha256`] of the model; one hash of its files and the others' where there are others.
    pub(crate) fn sha256(&self) -> Result<String> {
        if self.config.is_none() && self.merged.is_empty() && self.max_sequence_length.is_none() {
            return sha256(&self.path);
        }
        let mut all = hashes(&self.path)?;
        if let Some(config) = &self.config {
            all.extend(hashes(config)?.into_iter().map(|(name, hash)| (format!("config {name}"), hash)));
        }
        for (name, path) in &self.merged {
            all.insert(name.clone(), file(path)?);
        }
        all.extend(self.max_sequence_length.map(|tokens| ("max_sequence_length".to_string(), tokens.to_string())));
        Ok(hash::named(&all))
    }
}

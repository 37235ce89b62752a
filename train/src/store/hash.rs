//! Hashes of files and folders, for provenance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dmdx_graph::store::hash::{self, Hasher};

use crate::error::TrainError;

/// Folders deeper than this are no model.
const MAX_DEPTH: usize = 8;

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`TrainError::Read`].
pub fn file(path: &Path) -> Result<String, TrainError> {
    hash::file(path).map(|file| file.sha256).map_err(TrainError::read(path))
}

/// The SHA-256 of every file of a model folder by its path in it: those of [`model_files`].
///
/// # Errors
/// [`TrainError::Read`].
pub fn model(folder: &Path) -> Result<BTreeMap<String, String>, TrainError> {
    model_files(folder)?.into_iter().map(|name| Ok((name.clone(), file(&folder.join(name))?))).collect()
}

/// The files of a model folder by their paths in it: `model_index.json` or `config.json`, safetensors, and everything in
/// folders that hold a component. Other files beside them (a recipe, a card) and other folders (runs, a download's cache)
/// are no part of the model.
///
/// # Errors
/// [`TrainError::Read`].
pub fn model_files(folder: &Path) -> Result<BTreeSet<String>, TrainError> {
    let mut files = BTreeSet::new();
    walk(folder, "", 0, &mut files)?;
    Ok(files)
}

/// What a folder of a pipeline has at least one of.
const COMPONENT: [&str; 4] = ["config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json"];

fn walk(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeSet<String>) -> Result<(), TrainError> {
    if depth > MAX_DEPTH {
        return Err(TrainError::damaged(folder, "it has folders within folders beyond any model's depth"));
    }
    for entry in std::fs::read_dir(folder).map_err(TrainError::read(folder))? {
        let entry = entry.map_err(TrainError::read(folder))?;
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

/// One hash of several named ones, in hexadecimal.
pub fn combined(hashes: &BTreeMap<String, String>) -> String {
    hash::named(hashes)
}

/// One hash of a list of texts, in hexadecimal.
pub fn texts(texts: &[String]) -> String {
    let mut hasher = Hasher::new();
    texts.iter().for_each(|text| hasher.text(text));
    hasher.hex()
}

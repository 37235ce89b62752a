//! Hashes of files and models, with this crate's errors.

use std::collections::BTreeSet;
use std::path::Path;

use dmdx_graph::store::hash;
use dmdx_importer::{ImportError, Pipeline, provenance};

use crate::error::TrainError;

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`TrainError::Read`].
pub fn file(path: &Path) -> Result<String, TrainError> {
    hash::file(path).map(|file| file.sha256).map_err(TrainError::read(path))
}

/// One hash of a model, a folder or a file: [`provenance::sha256`].
///
/// # Errors
/// [`TrainError::Read`].
pub fn model(path: &Path) -> Result<String, TrainError> {
    provenance::sha256(path).map_err(reading)
}

/// One hash of all files that a pipeline came from: [`Pipeline::hash`].
///
/// # Errors
/// [`TrainError::Read`].
pub fn pipeline(pipeline: &Pipeline) -> Result<String, TrainError> {
    pipeline.hash().map_err(reading)
}

/// The files of a model folder by their paths in it: [`provenance::files`].
///
/// # Errors
/// [`TrainError::Read`].
pub fn model_files(folder: &Path) -> Result<BTreeSet<String>, TrainError> {
    provenance::files(folder).map_err(reading)
}

fn reading(error: ImportError) -> TrainError {
    match error {
        ImportError::Read { path, error } => TrainError::Read { path, source: error },
        other => TrainError::component("hashing a model", other),
    }
}

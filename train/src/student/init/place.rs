//! What lies at the path that a student begins with.

use std::path::{Path, PathBuf};

use dmdx_importer::path::located;
use dmdx_importer::source::lora_file;
use dmdx_runtime::StudentInfo;

use super::refused;
use crate::error::TrainError;
use crate::trainer::Checkpoint;

/// What a path holds.
pub(super) enum Place {
    /// A student's folder of ours.
    Student { folder: PathBuf, info: Box<StudentInfo> },
    /// A checkpoint of a run.
    Checkpoint(PathBuf),
    /// A pipeline's folder in the diffusers layout.
    Pipeline(PathBuf),
    /// One network, or a LoRA with its scale.
    Network { path: PathBuf, scale: f64 },
}

/// Tells the kinds apart by the files that only they have.
///
/// # Errors
/// [`TrainError::Recipe`] for a path that is not there, and for a run that has no student yet.
pub(super) fn find(given: &Path) -> Result<Place, TrainError> {
    let (path, scale) = scaled(given)?;
    let path = located(&path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    if path.is_file() {
        return Ok(match Checkpoint::is_one(&path) {
            true => Place::Checkpoint(path),
            false => Place::Network { path, scale },
        });
    }
    for folder in [path.clone(), path.join("student")] {
        if let Some(info) = StudentInfo::read(&folder)? {
            return Ok(Place::Student { folder, info: Box::new(info) });
        }
    }
    if path.join("manifest.json").is_file() && path.join("checkpoints").is_dir() {
        let problem = "is the folder of a run that has written no student yet; resume that run, or name one of its checkpoints";
        return Err(refused(problem));
    }
    Ok(match path.join("model_index.json").is_file() {
        true => Place::Pipeline(path),
        false => Place::Network { path, scale },
    })
}

/// The path, and the scale behind `=` where there is no file of the whole name.
fn scaled(given: &Path) -> Result<(PathBuf, f64), TrainError> {
    match given.to_str() {
        Some(text) if !given.exists() && text.contains('=') => {
            let file = lora_file(text).map_err(|problem| refused(format!("is wrong: {problem}")))?;
            Ok((file.path, file.scale))
        }
        _ => Ok((given.to_path_buf(), 1.0)),
    }
}

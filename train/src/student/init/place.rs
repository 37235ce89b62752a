//! What lies at the path that a student begins with.

use std::path::{Path, PathBuf};

use dmdx_importer::path::located;
use dmdx_importer::source::lora_file;
use dmdx_runtime::StudentInfo;

use super::{LORA_WEIGHTS, refused};
use crate::error::TrainError;
use crate::trainer::Checkpoint;

/// What names the parts of a pipeline.
const INDEX: &str = "model_index.json";

/// What a path holds.
pub(super) enum Place {
    /// A student's folder of ours.
    Student { folder: PathBuf, info: Box<StudentInfo> },
    /// A checkpoint of a run.
    Checkpoint(PathBuf),
    /// A pipeline's folder in the diffusers layout.
    Pipeline(PathBuf),
    /// One network, or a LoRA with its scale; with what lies beside a LoRA of ours.
    Network { path: PathBuf, scale: f64, info: Option<Box<StudentInfo>> },
}

/// Tells the kinds apart by the files that only they have.
///
/// # Errors
/// [`TrainError::Recipe`] for a path that is not there, and for a run that has no student yet.
pub(super) fn find(given: &Path) -> Result<Place, TrainError> {
    let (path, scale) = scaled(given)?;
    if !path.exists() {
        return Err(refused(format!("is {}, which is not there", given.display())));
    }
    let path = located(&path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    if path.is_file() {
        return Ok(match Checkpoint::is_one(&path) {
            true => Place::Checkpoint(path),
            false => Place::Network { info: beside(&path)?, path, scale },
        });
    }
    let factors = path.join(LORA_WEIGHTS);
    if factors.is_file() && !path.join(INDEX).is_file() {
        return Ok(Place::Network { info: beside(&factors)?, path: factors, scale });
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
    Ok(match path.join(INDEX).is_file() {
        true => Place::Pipeline(path),
        false => Place::Network { path, scale, info: None },
    })
}

/// What is said beside a file that is no part of a pipeline.
fn beside(file: &Path) -> Result<Option<Box<StudentInfo>>, TrainError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    if folder.join(INDEX).is_file() {
        return Ok(None);
    }
    Ok(StudentInfo::read(folder)?.map(Box::new))
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

//! Where the bundle is in the folder that somebody names: the folder itself, or the `bundle` of a training run.

use std::path::{Path, PathBuf};

use dmdx_graph::store::hub;

use crate::manifest::FILE_NAME;
use crate::{Error, StudentInfo};

/// The bundle's folder in a run's. Runs with several targets have one `bundle-TARGET` each.
const BUNDLE: &str = "bundle";

/// The student's folder in a run's.
const STUDENT: &str = "student";

/// The bundle's folder, in the form without links; of a model in the hub's cache that of its snapshot.
///
/// # Errors
/// [`Error::Read`] for what is not there, [`Error::Bundle`] for a folder of another kind, with what to do about it.
pub(super) fn find(folder: &Path) -> Result<PathBuf, Error> {
    let folder = &hub::snapshot(folder)?;
    let root = folder.canonicalize().map_err(Error::read(folder))?;
    if !root.is_dir() {
        return Err(Error::bundle(folder, "is not a folder; name the bundle's folder itself"));
    }
    if root.join(FILE_NAME).exists() {
        return Ok(root);
    }
    let inner = root.join(BUNDLE);
    if inner.join(FILE_NAME).is_file() {
        return inner.canonicalize().map_err(Error::read(inner));
    }
    let export = |source: &Path, target: &Path| format!("dmdx-export {} -o {}", source.display(), target.display());
    let several = bundles(&root, folder)?;
    let problem = if !several.is_empty() {
        format!("holds several bundles; name one of {}", several.join(", "))
    } else if folder.join(STUDENT).join(StudentInfo::FILE_NAME).is_file() {
        let line = export(&folder.join(STUDENT), &folder.join(BUNDLE));
        format!("is a training run without a bundle; make one with {line}")
    } else if folder.join(StudentInfo::FILE_NAME).is_file() {
        let line = export(folder, &beside(folder));
        format!("is a student's checkpoint and no bundle; make one with {line}")
    } else if folder.join("model_index.json").is_file() {
        let line = export(folder, &beside(folder));
        format!("is a pipeline of diffusers and no bundle; make one with {line}")
    } else {
        "has no dmdx.json, so it is no bundle of dmdx; export it with dmdx-export".to_string()
    };
    Err(Error::bundle(folder, problem))
}

/// The bundles of a run with several targets.
fn bundles(root: &Path, folder: &Path) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).map_err(Error::read(folder))? {
        let entry = entry.map_err(Error::read(folder))?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("bundle-") && entry.path().join(FILE_NAME).is_file() {
            found.push(folder.join(name).display().to_string());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A folder of another name beside one.
fn beside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    match name.is_empty() {
        true => PathBuf::from(BUNDLE),
        false => folder.with_file_name(format!("{name}-bundle")),
    }
}

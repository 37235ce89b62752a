//! The folder in which the Hugging Face hub's client keeps a model: `models--OWNER--NAME` with the contents of all files
//! in `blobs`, and in `snapshots/REVISION` the files by name, each a link to its blob. `refs/main` holds the revision that
//! the branch had when it was last asked for.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::temporary::parent;

/// What the folder of a model is called.
const MODEL: &str = "models--";
const BLOBS: &str = "blobs";
const SNAPSHOTS: &str = "snapshots";
/// The longest revision that is read.
const REVISION_BYTES: u64 = 256;
/// More snapshots than any model has.
const MOST_SNAPSHOTS: usize = 10_000;

/// Why a model's folder does not say which of its snapshots is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A download that never got as far as a snapshot.
    #[error("`{}` is a model's folder of the hub's cache without a snapshot; download the model again", .path.display())]
    NoSnapshot {
        /// The model's folder.
        path: PathBuf,
    },
    /// Several snapshots, and no branch that decides.
    #[error("`{}` holds {count} snapshots and no refs/main that names one of them; give one of the folders in its `snapshots`", .path.display())]
    SeveralSnapshots {
        /// The model's folder.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// The folder cannot be read.
    #[error("`{}` cannot be read: {error}", .path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// The snapshot of a model's folder: the one that `refs/main` names, or the only one. Every other path is itself.
///
/// # Errors
/// When a model's folder has no snapshot, or several between which nothing decides.
pub fn snapshot(path: &Path) -> Result<PathBuf, HubError> {
    let snapshots = path.join(SNAPSHOTS);
    if !snapshots.is_dir() || !path.canonicalize().is_ok_and(|real| is_model(&real)) {
        return Ok(path.into());
    }
    let fail = |error| HubError::Read { path: snapshots.clone(), error };
    let mut found = Vec::new();
    for entry in fs::read_dir(&snapshots).map_err(fail)?.take(MOST_SNAPSHOTS) {
        let entry = entry.map_err(fail)?;
        if entry.file_type().map_err(fail)?.is_dir() {
            found.push(entry.file_name());
        }
    }
    let main = revision(&path.join("refs").join("main"));
    match (found.iter().find(|name| main.as_deref().is_some_and(|main| name.to_str() == Some(main))), found.as_slice()) {
        (Some(name), _) | (None, [name]) => Ok(snapshots.join(name)),
        (None, []) => Err(HubError::NoSnapshot { path: path.into() }),
        (None, several) => Err(HubError::SeveralSnapshots { path: path.into(), count: several.len() }),
    }
}

/// The blob that a file of a snapshot is a link to, as a canonical path: a file directly in the `blobs` of the same model,
/// reached in one step. Nothing for any other file, link, or chain of links.
pub fn blob(file: &Path) -> Option<PathBuf> {
    // Above the canonical folder nothing is a link, so that `..` means what it says.
    let folder = parent(file).canonicalize().ok()?;
    let target = fs::read_link(folder.join(file.file_name()?)).ok()?;
    let blob = resolved(&folder, &target)?;
    let blobs = model_of(&folder)?.join(BLOBS);
    let inside = parent(&blob) == blobs && blob.symlink_metadata().ok()?.is_file();
    // `blobs` itself may be a link.
    (inside && blob.canonicalize().ok()? == blob).then_some(blob)
}

/// What the hub calls the model that a snapshot's folder, or one below it, belongs to: `OWNER/NAME`.
pub fn model_name(folder: &Path) -> Option<String> {
    let real = folder.canonicalize().ok()?;
    let name = model_of(&real)?.file_name()?.to_str()?;
    Some(name.strip_prefix(MODEL)?.replacen("--", "/", 1))
}

/// What may be meant by a path that leads nowhere: the name of a repository on the hub, `owner/name`.
pub fn repository(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (owner, name) = text.split_once('/')?;
    let is_name = |part: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && part.chars().all(legal) && !part.starts_with('.')
    };
    // A file's ending (versions have digits in theirs) or a folder that is there says that a path is meant.
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    let is_file = ending.is_some_and(|ending| ending.chars().all(|c| c.is_ascii_alphabetic()));
    (is_name(owner) && is_name(name) && !is_file && !Path::new(owner).exists()).then_some(text)
}

/// The model's folder of a snapshot's folder, or of one below it.
fn model_of(folder: &Path) -> Option<&Path> {
    folder.ancestors().find_map(|revision| {
        let snapshots = revision.parent().filter(|parent| parent.ends_with(SNAPSHOTS))?;
        snapshots.parent().filter(|model| is_model(model))
    })
}

fn is_model(folder: &Path) -> bool {
    folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(MODEL))
}

/// A link's target without `.` and `..`.
fn resolved(folder: &Path, target: &Path) -> Option<PathBuf> {
    let mut path = folder.to_path_buf();
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop().then_some(())?;
            }
            // An absolute target begins anew.
            other => path.push(other),
        }
    }
    Some(path)
}

/// The revision in a file of `refs`, if it can be a folder's name.
fn revision(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(REVISION_BYTES).read_to_string(&mut text).ok()?;
    let text = text.trim();
    (!text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())).then(|| text.into())
}

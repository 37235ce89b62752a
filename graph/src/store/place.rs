//! Whether something can be written to a place, asked before the work rather than after it.

use std::io;
use std::path::{Path, PathBuf};

use super::existing::Existing;
use super::file::NewFile;
use super::folder::NewFolder;
use super::temporary::parent;

/// Why nothing can be written to a place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Something is there that is to be kept.
    #[error("{} exists already; choose another name or pass --force to replace it", .0.display())]
    Exists(PathBuf),
    /// A folder, where a file is to be.
    #[error("{} names a folder, but one file is to be written; name a file in that folder", .0.display())]
    Folder(PathBuf),
    /// A device, a pipe or a socket, in whose place no file is put.
    #[error("{} is a device or pipe and no regular file, so it is not written to; name a file", .0.display())]
    Special(PathBuf),
    /// The folder that it is to be in is not there.
    #[error("cannot write {}: the folder {} does not exist; make it first or name another", .path.display(), .folder.display())]
    NoFolder {
        /// What was to be written.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// What it is to be in is no folder.
    #[error("cannot write {}: {} is not a folder; name another place", .path.display(), .folder.display())]
    NotAFolder {
        /// What was to be written.
        path: PathBuf,
        /// What is no folder.
        folder: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write {}: {source}; name another place", .path.display())]
    Refused {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PlaceError {
    /// The exit code of a program that stops with this error: 1 where another name is all that is needed, 3 for a fault of
    /// the disk.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exists(_) | Self::Folder(_) | Self::Special(_) => 1,
            Self::NoFolder { .. } | Self::NotAFolder { .. } | Self::Refused { .. } => 3,
        }
    }

    fn refused(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists(path),
            _ => Self::Refused { path, source },
        }
    }
}

/// Looks whether a file can be written to `path`, by beginning one: nothing is left there.
///
/// # Errors
/// [`PlaceError`].
pub fn check_file(path: &Path, existing: Existing) -> Result<(), PlaceError> {
    match path.metadata() {
        Ok(there) if there.is_dir() => return Err(PlaceError::Folder(path.into())),
        Ok(there) if !there.is_file() => return Err(PlaceError::Special(path.into())),
        Ok(_) | Err(_) => {}
    }
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(PlaceError::Folder(path.into()));
    }
    check_parent(path)?;
    NewFile::create(path, existing).map(drop).map_err(PlaceError::refused(path))
}

/// Looks whether a folder can be written to `path`, by beginning one: nothing is left there.
///
/// # Errors
/// [`PlaceError`].
pub fn check_folder(path: &Path, existing: Existing) -> Result<(), PlaceError> {
    if existing == Existing::Keep && path.symlink_metadata().is_ok() {
        return Err(PlaceError::Exists(path.into()));
    }
    check_parent(path)?;
    NewFolder::create(path).map(drop).map_err(PlaceError::refused(path))
}

/// As [`check_folder`], for callers that make the folders on the way to `path` as well.
///
/// # Errors
/// [`PlaceError`].
pub fn check_new_folder(path: &Path, existing: Existing) -> Result<(), PlaceError> {
    let is_there = |folder: &Path| folder.symlink_metadata().is_ok();
    // What would be made first: something in the nearest folder that is there.
    let first = path.ancestors().find(|part| is_there(parent(part))).unwrap_or(path);
    check_folder(first, existing).map_err(|error| match error {
        PlaceError::NotAFolder { folder, .. } => PlaceError::NotAFolder { path: path.into(), folder },
        PlaceError::Refused { source, .. } => PlaceError::Refused { path: path.into(), source },
        other => other,
    })
}

/// A path below `from` as it will be called once `from` is called `to`: the name for messages about what has not got its name
/// yet, and never will where there is something to say.
#[must_use]
pub fn renamed(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if rest.as_os_str().is_empty() => to.into(),
        Ok(rest) => to.join(rest),
        Err(_) => path.into(),
    }
}

fn check_parent(path: &Path) -> Result<(), PlaceError> {
    let folder = parent(path);
    match folder.metadata() {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Err(PlaceError::NotAFolder { path: path.into(), folder: folder.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(PlaceError::NotAFolder { path: path.into(), folder: folder.into() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(PlaceError::NoFolder { path: path.into(), folder: folder.into() })
        }
        Err(source) => Err(PlaceError::Refused { path: path.into(), source }),
    }
}

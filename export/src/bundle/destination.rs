//! The folder that a bundle is written to: temporary until it is whole.

use std::path::{Path, PathBuf};

use dmdx_graph::store::{Existing, NewFolder, PlaceError, check_new_folder};

use crate::error::{ExportError, Result, io};

/// Refuses, before any work, destinations that must not be replaced or cannot be written. Only a folder that holds one of the
/// files `markers` is ever replaced; the folders on the way to it need not be there.
///
/// # Errors
/// [`ExportError::Place`], [`ExportError::NotABundle`], [`ExportError::Io`].
pub fn check_destination(out: &Path, force: bool, markers: &[&str]) -> Result<()> {
    if out.file_name().is_none() {
        return Err(ExportError::NotABundle(out.into()));
    }
    let there = out.symlink_metadata().is_ok();
    if there && force && !markers.iter().any(|marker| out.join(marker).is_file()) {
        return Err(ExportError::NotABundle(out.into()));
    }
    Ok(check_new_folder(out, if force { Existing::Replace } else { Existing::Keep })?)
}

/// The folder that a path is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary folder beside the destination; dropped unpublished, it vanishes.
pub(super) struct Destination {
    out: PathBuf,
    force: bool,
    folder: NewFolder,
}

impl Destination {
    /// Refuses destinations that must not be replaced, and makes the temporary folder. Only a folder that holds the file
    /// `marker` is ever replaced.
    pub(super) fn prepare(out: &Path, force: bool, marker: &str) -> Result<Self> {
        check_destination(out, force, &[marker])?;
        std::fs::create_dir_all(parent(out)).map_err(io(parent(out), "written"))?;
        let folder = NewFolder::create(out).map_err(io(parent(out), "written"))?;
        Ok(Self { out: out.into(), force, folder })
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Syncs everything and renames the folder into place; a bundle that stood there is removed afterwards.
    pub(super) fn publish(self) -> Result<()> {
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        self.folder.publish(existing).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => PlaceError::Exists(self.out).into(),
            _ => io(&self.out, "written")(error),
        })
    }
}

//! The folder that a bundle is written to: temporary until it is whole.

use std::path::{Path, PathBuf};

use dmdx_graph::store::{Existing, NewFolder};

use crate::error::{ExportError, Result, io};

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
        let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if out.file_name().is_none() {
            return Err(ExportError::NotABundle(out.into()));
        }
        if out.symlink_metadata().is_ok() {
            if !force {
                return Err(ExportError::Exists(out.into()));
            }
            if !out.join(marker).is_file() {
                return Err(ExportError::NotABundle(out.into()));
            }
        }
        std::fs::create_dir_all(parent).map_err(io(parent, "written"))?;
        let folder = NewFolder::create(out).map_err(io(parent, "written"))?;
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
            std::io::ErrorKind::AlreadyExists => ExportError::Exists(self.out),
            _ => io(&self.out, "written")(error),
        })
    }
}

//! The folder that a bundle is written to: temporary until it is whole.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{ExportError, Result, io};
use crate::onnx::sync_folder;

/// A temporary folder beside the destination; dropped unpublished, it vanishes.
pub(super) struct Destination {
    out: PathBuf,
    parent: PathBuf,
    folder: TempDir,
}

impl Destination {
    /// Refuses destinations that must not be replaced, and makes the temporary folder. Only a folder that holds the file
    /// `marker` is ever replaced.
    pub(super) fn prepare(out: &Path, force: bool, marker: &str) -> Result<Self> {
        let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        let Some(name) = out.file_name() else { return Err(ExportError::NotABundle(out.into())) };
        if out.symlink_metadata().is_ok() {
            if !force {
                return Err(ExportError::Exists(out.into()));
            }
            if !out.join(marker).is_file() {
                return Err(ExportError::NotABundle(out.into()));
            }
        }
        std::fs::create_dir_all(&parent).map_err(io(&parent, "written"))?;
        let prefix = format!(".{}.", name.to_string_lossy());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent).map_err(io(&parent, "written"))?;
        Ok(Self { out: out.into(), parent, folder })
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Syncs everything and renames the folder into place; a bundle that stood there is removed afterwards.
    pub(super) fn publish(self) -> Result<()> {
        sync_tree(self.path())?;
        open_rights(self.path())?;
        let old = if self.out.symlink_metadata().is_ok() {
            let aside =
                tempfile::Builder::new().prefix(".replaced.").tempdir_in(&self.parent).map_err(io(&self.parent, "written"))?;
            std::fs::rename(&self.out, aside.path().join("bundle")).map_err(io(&self.out, "replaced"))?;
            Some(aside)
        } else {
            None
        };
        if let Err(error) = std::fs::rename(self.path(), &self.out) {
            // The old bundle returns to its place; what cannot be put back stays aside rather than being deleted.
            if let Some(old) = old
                && std::fs::rename(old.path().join("bundle"), &self.out).is_err()
            {
                let _ = old.keep();
            }
            return Err(io(&self.out, "written")(error));
        }
        // The folder has moved, there is nothing left to remove.
        let _ = self.folder.keep();
        sync_folder(&self.parent)
    }
}

/// Temporary folders are private; bundles have the rights of ordinary folders.
fn open_rights(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).map_err(io(folder, "written"))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn sync_tree(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(io(folder, "read"))? {
        let path = entry.map_err(io(folder, "read"))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(io(&path, "written"))?;
        }
    }
    sync_folder(folder)
}

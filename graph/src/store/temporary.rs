//! Names under which unfinished files and folders are made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: &str = ".dmdx-";
const SUFFIX: &str = ".part";
/// Names that are tried; each taken one was left by a process that was killed.
const TRIES: usize = 1 << 16;

/// The folder that `path` is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Calls `make` with names in `folder` until it makes one that nobody has. `make` must refuse names that are taken.
///
/// The process's number keeps processes apart and a counter its threads; two machines that share a folder, or a killed
/// process of the same number, are passed over.
pub(super) fn make<T>(folder: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..TRIES {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()));
        match make(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|made| (path, made)),
        }
    }
    Err(io::Error::other("too many unfinished files of killed processes are in the folder; remove those named .dmdx-*.part"))
}

/// Removes what killed processes left unfinished in `folder`. Nobody else may be writing there.
///
/// # Errors
/// When the folder cannot be listed or something in it cannot be removed.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file, or a folder with all that is in it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let folder = path.symlink_metadata()?.is_dir();
    if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Makes renames in `folder` survive a power cut, where the system can sync folders.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

//! Containment: every file name that a model gives is attacker input until it is shown to be an ordinary file inside
//! the model's folder. The layers are those of ONNX's external-data defence: the name's form, the canonical path, the
//! file's kind and link count, and the identity and place of what was opened.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use dmdx_graph::store::hub;

use crate::error::{ImportError, PathRule, Result};

/// Which files may be opened besides those that lie in the folder itself.
#[derive(Debug, Clone, Default)]
pub struct FilePolicy {
    /// Folders into which symbolic links may lead, beside the folder itself and, for snapshots of the Hugging Face hub's
    /// cache, the blobs of the same model ([`hub::blob`]).
    pub roots: Vec<PathBuf>,
    /// Accept files with more than one hard link although a model names them.
    pub hard_links: bool,
}

/// A regular file that was opened inside its root.
#[derive(Debug)]
pub struct OpenFile {
    /// The path as the user would write it, for messages.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
    /// Its length in bytes.
    pub length: u64,
}

/// Opens the file `name` of `folder`, a name that we chose (`config.json`): links may lead into the given roots.
///
/// # Errors
/// When it is missing, not a regular file, or leads out of the folder and the roots.
pub(crate) fn open_known(folder: &Path, name: &str, policy: &FilePolicy) -> Result<OpenFile> {
    open(folder, folder, name, policy, true)
}

/// Opens the file `name` of `folder` that the model file `named_by` asks for.
///
/// # Errors
/// As [`open_known`]; also when the name is absolute, contains `..`, a backslash or NUL, or the file has hard links.
pub(crate) fn open_named(folder: &Path, named_by: &Path, name: &str, policy: &FilePolicy) -> Result<OpenFile> {
    open(folder, named_by, name, policy, policy.hard_links)
}

/// Opens a file that the user named directly: any place is fine, it only has to be a regular file.
///
/// # Errors
/// When it is missing, not a regular file, or cannot be read.
pub fn open_given(path: &Path) -> Result<OpenFile> {
    let canonical = std::fs::canonicalize(path).map_err(|error| ImportError::reading(path, error))?;
    open_checked(path, &canonical, &|rule| ImportError::Path {
        file: path.parent().unwrap_or(path).into(),
        name: path.file_name().unwrap_or_default().to_string_lossy().into(),
        rule,
    })
}

/// Where a model is: the snapshot of a model's folder of the hub's cache ([`hub::snapshot`]), otherwise the path itself.
///
/// # Errors
/// When such a folder does not say which of its snapshots is meant.
pub fn located(path: &Path) -> Result<PathBuf> {
    Ok(hub::snapshot(path)?)
}

/// The folder of a file, and its name.
pub(crate) fn split(path: &Path) -> (&Path, &str) {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (folder, path.file_name().and_then(OsStr::to_str).unwrap_or_default())
}

/// Checks the form of a name that a model gives for a file or folder below its own.
///
/// # Errors
/// With the rule that the name breaks.
pub(crate) fn check_name(name: &str) -> std::result::Result<(), PathRule> {
    let path = Path::new(name);
    if name.is_empty() {
        return Err(PathRule::Empty);
    }
    if name.contains(['\\', '\0']) {
        return Err(PathRule::Character);
    }
    // `C:x` means another place on some systems.
    if path.is_absolute() || name.starts_with('/') || name.contains(':') {
        return Err(PathRule::NotRelative);
    }
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(PathRule::Dots);
    }
    Ok(())
}

fn open(folder: &Path, named_by: &Path, name: &str, policy: &FilePolicy, hard_links: bool) -> Result<OpenFile> {
    let refuse = |rule| ImportError::Path { file: named_by.into(), name: name.into(), rule };
    check_name(name).map_err(refuse)?;
    let path = folder.join(name);
    let canonical = std::fs::canonicalize(&path).map_err(|error| ImportError::reading(&path, error))?;
    let is_blob = || hub::blob(&path).is_some_and(|blob| blob == canonical);
    if !is_inside(folder, &canonical)? && !is_blob() && !inside_any(&policy.roots, &canonical)? {
        return Err(refuse(PathRule::LeadsOut));
    }
    let opened = open_checked(&path, &canonical, &refuse)?;
    if !hard_links && link_count(&opened)? != 1 {
        return Err(refuse(PathRule::HardLinks));
    }
    Ok(opened)
}

/// Opens a canonical path without following a link put there meanwhile, and shows that it is still the same file.
fn open_checked(path: &Path, canonical: &Path, refuse: &dyn Fn(PathRule) -> ImportError) -> Result<OpenFile> {
    let read = |error| ImportError::Read { path: path.into(), error };
    let before = std::fs::symlink_metadata(canonical).map_err(read)?;
    if !before.is_file() {
        return Err(refuse(if before.is_dir() { PathRule::Folder } else { PathRule::NotRegular }));
    }
    let file = open_no_follow(canonical).map_err(read)?;
    let after = file.metadata().map_err(read)?;
    // A folder on the way may have become a link after the path was resolved: the system knows what was opened.
    let elsewhere = place_of(&file).is_some_and(|place| place != canonical);
    if !after.is_file() || !same_file(&before, &after) || elsewhere {
        return Err(refuse(PathRule::Replaced));
    }
    Ok(OpenFile { path: path.into(), length: after.len(), file })
}

fn is_inside(root: &Path, canonical: &Path) -> Result<bool> {
    let root = std::fs::canonicalize(root).map_err(|error| ImportError::reading(root, error))?;
    Ok(canonical.starts_with(root))
}

fn inside_any(roots: &[PathBuf], canonical: &Path) -> Result<bool> {
    for root in roots {
        if is_inside(root, canonical)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(unix)]
fn open_no_follow(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Not blocking: a FIFO put there meanwhile must not stop us.
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

#[cfg(not(unix))]
fn open_no_follow(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

/// Where an open file lies, on systems that tell.
#[cfg(target_os = "linux")]
fn place_of(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

#[cfg(not(target_os = "linux"))]
fn place_of(_file: &File) -> Option<PathBuf> {
    None
}

#[cfg(unix)]
fn same_file(before: &std::fs::Metadata, after: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (before.dev(), before.ino()) == (after.dev(), after.ino())
}

#[cfg(not(unix))]
fn same_file(before: &std::fs::Metadata, after: &std::fs::Metadata) -> bool {
    before.len() == after.len() && before.modified().ok() == after.modified().ok()
}

#[cfg(unix)]
fn link_count(opened: &OpenFile) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let metadata = opened.file.metadata().map_err(|error| ImportError::Read { path: opened.path.clone(), error })?;
    Ok(metadata.nlink())
}

#[cfg(not(unix))]
fn link_count(_opened: &OpenFile) -> Result<u64> {
    // The standard library does not tell on this system; the other layers remain.
    Ok(1)
}

//! What the targets share.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

/// One folder for the whole process: readers of folders get their input there.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary folder can be made"));

/// Writes the input as the file `name` of the process's folder, and gives the folder and the file.
pub fn written(name: &str, bytes: &[u8]) -> (&'static Path, PathBuf) {
    let path = FOLDER.path().join(name);
    std::fs::write(&path, bytes).expect("the temporary folder can be written");
    (FOLDER.path(), path)
}

/// A refusal says something, in one line.
pub fn sound<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|error| assert!(error.to_string().len() > 10)).ok()
}

/// Cuts the input at the first zero byte: two files in one input.
pub fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| byte == 0) {
        Some(place) => (&bytes[..place], &bytes[place + 1..]),
        None => (bytes, &[]),
    }
}

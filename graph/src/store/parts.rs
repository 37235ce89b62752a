//! What lies in a folder that has not got its name yet: nobody else sees it, so it is written as it is.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Writes a file into a [`super::NewFolder`], and the folders on the way to it.
///
/// # Errors
/// Those of the disk.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_parent(path)?;
    fs::write(path, bytes)
}

/// Copies the contents of a file into a [`super::NewFolder`]: rights and links of the source are not taken over. The outer
/// error is of reading the source, the inner one of writing.
///
/// # Errors
/// Those of the disk.
pub fn copy(from: &Path, to: &Path) -> io::Result<io::Result<()>> {
    let mut source = File::open(from)?;
    Ok(make_parent(to).and_then(|()| io::copy(&mut source, &mut File::create(to)?).map(drop)))
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

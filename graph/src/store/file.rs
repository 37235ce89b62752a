//! One file, written beside its place and renamed into it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::existing::Existing;
use super::temporary::{make, parent, sync_folder};

/// A file that takes its name only in [`NewFile::publish`]; dropped before, it vanishes. Whatever fails in between (a full
/// disk, a killed process), the name holds what it held before or all that was written.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    existing: Existing,
    temporary: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl NewFile {
    /// Begins the file that is to be at `path`, in the folder where it will be. The user's umask decides who may read it.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where something is there that is to be kept; when something other than a regular
    /// file is there, since a rename would put a file in the place of a device such as `/dev/null`; when the folder cannot
    /// be written.
    pub fn create(path: &Path, existing: Existing) -> io::Result<Self> {
        if existing == Existing::Keep && path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::other("something other than a regular file is there"));
        }
        let (temporary, file) = make(parent(path), |name| OpenOptions::new().write(true).create_new(true).open(name))?;
        Ok(Self { path: path.into(), existing, temporary, writer: Some(BufWriter::with_capacity(1 << 20, file)) })
    }

    /// It is there until the file is published, which consumes the value.
    fn writer(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.writer.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Waits until all that was written is on the disk. Files that belong together are all sealed before the first of them
    /// is published.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn seal(&mut self) -> io::Result<()> {
        let writer = self.writer()?;
        writer.flush()?;
        writer.get_ref().sync_all()
    }

    /// Gives the file its name, once all of it is on the disk.
    ///
    /// # Errors
    /// Those of the disk; [`io::ErrorKind::AlreadyExists`] where something to be kept has come up meanwhile.
    pub fn publish(mut self) -> io::Result<()> {
        self.seal()?;
        // The handle is closed before the rename: some systems do not rename open files.
        if let Some(writer) = self.writer.take() {
            drop(writer.into_parts().0);
        }
        let placed = match self.existing {
            Existing::Replace => fs::rename(&self.temporary, &self.path),
            Existing::Keep => rename_to_new(&self.temporary, &self.path),
        };
        if let Err(error) = placed {
            let _ = fs::remove_file(&self.temporary);
            return Err(error);
        }
        sync_folder(parent(&self.path))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer()?.flush()
    }
}

/// A writer can go back to fill in what is only known at the end.
impl Seek for NewFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.writer()?.seek(position)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // A writer that is still here was never published; what its buffer holds is not worth writing.
        if let Some(writer) = self.writer.take() {
            drop(writer.into_parts().0);
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes all of `contents` (bytes, another file) to `path`, whole or not at all. Rights and links of what is copied are not
/// the copy's.
///
/// # Errors
/// As [`NewFile::create`] and [`NewFile::publish`]; those of reading `contents`.
pub fn write_file(path: &Path, existing: Existing, mut contents: impl Read) -> io::Result<()> {
    let mut file = NewFile::create(path, existing)?;
    io::copy(&mut contents, &mut file)?;
    file.publish()
}

/// Renames where the new name must be free. A link can be made only then; where the file system has none, a look before
/// the rename has to do.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

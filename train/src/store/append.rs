//! A log that grows at its end and can be cut back.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// A file to which whole records are appended.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl AppendFile {
    /// Opens `path`, made where it is missing, and cuts it back to its first `length` bytes.
    ///
    /// # Errors
    /// [`TrainError::Write`]; [`TrainError::Damaged`] where the file is shorter than that.
    pub fn open(path: &Path, length: u64) -> Result<Self, TrainError> {
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(TrainError::write(path))?;
        let found = file.metadata().map_err(TrainError::read(path))?.len();
        if found < length {
            return Err(TrainError::damaged(
                path,
                format!("it has {found} bytes, but the checkpoint was made when it had {length}; start a new run"),
            ));
        }
        if found > length {
            file.set_len(length).map_err(TrainError::write(path))?;
        }
        Ok(Self { path: path.to_path_buf(), file, length })
    }

    /// [`AppendFile::open`] after the first `count` lines, or after the last whole one where there are fewer.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Write`].
    pub fn open_lines(path: &Path, count: u64) -> Result<Self, TrainError> {
        let mut length = 0;
        match File::open(path) {
            Ok(file) => {
                let mut reader = BufReader::new(file);
                let mut line = Vec::new();
                for _ in 0..count {
                    line.clear();
                    let read = reader.read_until(b'\n', &mut line).map_err(TrainError::read(path))?;
                    if line.last() != Some(&b'\n') {
                        break;
                    }
                    length += read as u64;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(TrainError::Read { path: path.to_path_buf(), source }),
        }
        Self::open(path, length)
    }

    /// Appends one record; where that fails, the file is cut back to the record before.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn append(&mut self, record: &[u8]) -> Result<(), TrainError> {
        if let Err(source) = self.file.write_all(record) {
            let _ = self.file.set_len(self.length);
            return Err(TrainError::Write { path: self.path.clone(), source });
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Waits until everything appended so far is on the disk, and returns how many bytes that is.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn sync(&mut self) -> Result<u64, TrainError> {
        self.file.sync_data().map_err(TrainError::write(&self.path))?;
        Ok(self.length)
    }
}

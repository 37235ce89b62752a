//! Files of prompts and captions that must not change while they are read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::TrainError;

/// Bytes of the longest prompt, and of the longest line.
pub(super) const LONGEST: usize = 1 << 20;
/// Prompts between two whose places are known.
pub(super) const EVERY: usize = 1024;

/// A file as it was when it was opened first: its size and the time of its last change tell that somebody has edited it.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    /// Where it is.
    pub path: PathBuf,
    stamp: (u64, Option<SystemTime>),
}

impl Stamped {
    /// Opens it.
    ///
    /// # Errors
    /// [`TrainError::Read`].
    pub fn open(path: &Path) -> Result<(Self, File), TrainError> {
        let file = File::open(path).map_err(TrainError::read(path))?;
        let stamp = stamp(&file).map_err(TrainError::read(path))?;
        Ok((Self { path: path.to_path_buf(), stamp }, file))
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.stamp.0
    }

    /// Opens it once more.
    ///
    /// # Errors
    /// [`TrainError::Read`]; [`TrainError::Damaged`] where it has changed.
    pub fn again(&self) -> Result<File, TrainError> {
        let file = File::open(&self.path).map_err(TrainError::read(&self.path))?;
        match stamp(&file).map_err(TrainError::read(&self.path))? == self.stamp {
            true => Ok(file),
            false => Err(self.damaged("it has changed since the run began; start a new run")),
        }
    }

    /// What is wrong with it.
    pub fn damaged(&self, reason: impl Into<String>) -> TrainError {
        TrainError::damaged(&self.path, reason)
    }
}

fn stamp(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

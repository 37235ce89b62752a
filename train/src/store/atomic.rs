//! Files and folders that are there whole or not at all, with this crate's errors.

use std::io::{self, Seek, Write};
use std::path::Path;

use dmdx_graph::store::{self, Existing, NewFile, NewFolder};

use crate::error::TrainError;

/// What an unfinished file is written through. It can go back to fill in what is only known at the end.
pub trait Sink: Write + Seek {}

impl<S: Write + Seek> Sink for S {}

/// Writes `path` so that a reader, a full disk or a killed process never leaves half a file: `path` holds either what it
/// held before or all that `fill` wrote.
///
/// # Errors
/// [`TrainError::Write`]; the unfinished file is removed then.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Sink) -> io::Result<()>) -> Result<(), TrainError> {
    stream_atomically(path, |sink| fill(sink).map_err(TrainError::write(path)))
}

/// [`write_atomically`] of what has to be fetched while it is written, which can fail too.
///
/// # Errors
/// [`TrainError::Write`], and those of `fill`; the unfinished file is removed then.
pub fn stream_atomically(path: &Path, fill: impl FnOnce(&mut dyn Sink) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let mut file = NewFile::create(path, Existing::Replace).map_err(TrainError::write(path))?;
    fill(&mut file)?;
    file.publish().map_err(TrainError::write(path))
}

/// Writes the folder `path` whole or not at all. A folder that was there is replaced; a process killed in the middle leaves
/// none rather than half of one.
///
/// # Errors
/// [`TrainError::Write`], and those of `fill`; the unfinished folder is removed then.
pub fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let folder = NewFolder::create(path).map_err(TrainError::write(path))?;
    // What is unfinished has a name that nobody will ever see.
    fill(folder.path()).map_err(|error| renamed(error, folder.path(), path))?;
    folder.publish(Existing::Replace).map_err(TrainError::write(path))
}

/// An error about files that were to be called otherwise: paths below `from` are named as if it were `to`.
fn renamed(mut error: TrainError, from: &Path, to: &Path) -> TrainError {
    match error {
        TrainError::Write { ref mut path, .. } | TrainError::Read { ref mut path, .. } => {
            *path = store::renamed(path, from, to);
            error
        }
        TrainError::Runtime(error) => TrainError::Runtime(error.renamed(from, to)),
        other => other,
    }
}

/// Removes what killed processes left unfinished in `folder`.
///
/// # Errors
/// [`TrainError::Write`].
pub fn remove_unfinished(folder: &Path) -> Result<(), TrainError> {
    store::remove_unfinished(folder).map_err(TrainError::write(folder))
}

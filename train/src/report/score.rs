//! `score.json`: how good the pictures are.

use std::path::Path;

use indexmap::IndexMap;

use crate::error::TrainError;
use crate::store::atomic::write_atomically;

/// The numbers of one set of pictures by name, in the order in which they are listed; the scorer's, where there is one, and
/// the spread.
pub type Score = IndexMap<String, f64>;

/// Scores by the name of what drew the pictures, in the order in which they were taken.
pub type Scores = IndexMap<String, Score>;

/// Writes `score.json`.
///
/// # Errors
/// [`TrainError::Write`].
pub fn write(path: &Path, scores: &Scores) -> Result<(), TrainError> {
    write_atomically(path, |writer| {
        serde_json::to_writer_pretty(&mut *writer, scores)?;
        writer.write_all(b"\n")
    })
}

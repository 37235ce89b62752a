//! `score.json`: how good the pictures are.

use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::store::atomic::write_atomically;

/// The scores of one set of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of pictures on which the classifier reads the prompt's digit.
    pub digit_accuracy: f64,
    /// Share of pictures on which it reads the prompt's colour.
    pub colour_accuracy: f64,
    /// Fréchet distance between the classifier's features of the pictures and of real ones.
    pub frechet: f64,
}

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

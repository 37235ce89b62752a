//! The list of a complete set's shards.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::store::atomic::write_atomically;

/// The file that is there once all shards are.
pub(super) const COMPLETE: &str = "COMPLETE.json";

/// The contents of `COMPLETE.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Complete {
    /// The set's provenance.
    pub provenance: BTreeMap<String, String>,
    /// SHA-256 of every shard's file, in order.
    pub shards: Vec<String>,
}

impl Complete {
    /// Reads it from `folder`; none where the set, whose rows are called `name`, is not complete.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>, TrainError> {
        let path = folder.join(COMPLETE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TrainError::Read { path, source }),
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|error| {
            TrainError::damaged(path, format!("it does not list the shards of {name} ({error}); delete it to check them anew"))
        })
    }

    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        write_atomically(&folder.join(COMPLETE), |writer| Ok(serde_json::to_writer_pretty(writer, self)?))
    }
}

/// What the complete set in `folder` says that it is; none where there is none.
///
/// # Errors
/// As [`Complete::read`].
pub(in crate::data) fn provenance(folder: &Path, name: &str) -> Result<Option<BTreeMap<String, String>>, TrainError> {
    Ok(Complete::read(folder, name)?.map(|complete| complete.provenance))
}

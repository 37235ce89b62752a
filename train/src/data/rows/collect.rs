//! Making a set's shards, as far as they are not there.

use std::collections::BTreeMap;
use std::path::Path;

use super::complete::{COMPLETE, Complete};
use super::read::{RowStore, Shard};
use super::set::{Cells, RowSet, SHARD_KEY, ShardRange};
use crate::error::TrainError;
use crate::session::Interrupt;
use crate::session::progress::Progress;
use crate::store::atomic::{remove_unfinished, write_atomically};
use crate::store::tensor_file::{self, Tensors};

/// Makes the rows of `set` in `folder`, as far as they are not there, and opens them. Every shard is read once, whole.
///
/// `make` gives the cells of one shard, column by column. A shard that is missing or damaged is made anew, which must give
/// the bytes that the complete set had.
///
/// # Errors
/// [`TrainError::StoreMismatch`] where `folder` holds other rows; [`TrainError::Interrupted`] between shards;
/// [`TrainError::Damaged`] where a shard came out other than before; [`TrainError::Write`]; those of `make`.
pub(in crate::data) fn collect(
    folder: &Path,
    set: &RowSet,
    interrupt: &Interrupt,
    mut make: impl FnMut(ShardRange) -> Result<Vec<Cells>, TrainError>,
) -> Result<RowStore, TrainError> {
    std::fs::create_dir_all(folder).map_err(TrainError::write(folder))?;
    remove_unfinished(folder)?;
    let complete = Complete::read(folder, set.name)?;
    if let Some(complete) = &complete {
        set.check(&folder.join(COMPLETE), &complete.provenance)?;
    }
    let mut progress = Progress::start(set.name, set.count, 0);
    let mut store = RowStore::new(folder, set);
    let mut hashes = Vec::new();
    for index in 0..set.shards() {
        let path = set.path(folder, index);
        let range = set.range(index);
        let shard = match existing(&path, set, range)? {
            Some(shard) => shard,
            None => {
                interrupt.check(|| format!("the collection of {}, {index} of {} shards done", set.name, set.shards()))?;
                write(&path, set, range, make(range)?)?;
                Shard::open(&path, set, range)?
            }
        };
        if let Some(wanted) = complete.as_ref().and_then(|complete| complete.shards.get(index as usize))
            && *wanted != shard.sha256
        {
            let reason = format!(
                "its SHA-256 is {}, but {COMPLETE} says {wanted}; delete the folder and collect the {} anew",
                shard.sha256, set.name
            );
            return Err(TrainError::damaged(path, reason));
        }
        hashes.push(store.add(shard));
        progress.advance(range.count, String::new);
    }
    drop(progress);
    if complete.is_none() {
        Complete { provenance: set.provenance.clone(), shards: hashes }.write(folder)?;
    }
    Ok(store)
}

/// A shard that is there and whole.
fn existing(path: &Path, set: &RowSet, range: ShardRange) -> Result<Option<Shard>, TrainError> {
    if !path.exists() {
        return Ok(None);
    }
    match Shard::open(path, set, range) {
        Ok(shard) => Ok(Some(shard)),
        Err(error @ TrainError::Damaged { .. }) => {
            eprintln!("warning: {error}; it is made anew");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn write(path: &Path, set: &RowSet, range: ShardRange, cells: Vec<Cells>) -> Result<(), TrainError> {
    let shapes: Vec<Vec<usize>> = set.columns.iter().map(|column| column.shape_of(range.count)).collect();
    let tensors = set.columns.iter().zip(&shapes).zip(&cells);
    let tensors: Tensors<'_> =
        tensors.map(|((column, shape), cells)| (column.name.as_str(), (shape.as_slice(), cells.values()))).collect();
    let mut metadata: BTreeMap<String, String> = set.provenance.clone();
    metadata.insert(SHARD_KEY.to_string(), range.index.to_string());
    write_atomically(path, |writer| tensor_file::write(writer, &metadata, &tensors))
}

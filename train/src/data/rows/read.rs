//! Reading rows by their numbers.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::Dtype;

use super::complete::{COMPLETE, Complete};
use super::set::{Column, RowSet, SHARD_KEY, ShardRange, check_provenance};
use crate::error::TrainError;
use crate::store::tensor_file::TensorFile;

/// A shard of which every byte was checked.
pub(super) struct Shard {
    /// Hash of its file.
    pub sha256: String,
    /// Where each column begins.
    starts: Vec<u64>,
}

impl Shard {
    /// Reads `path` whole, once, against its own hash, the set's provenance and its number.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Damaged`], [`TrainError::StoreMismatch`].
    pub fn open(path: &Path, set: &RowSet, range: ShardRange) -> Result<Self, TrainError> {
        let (file, sha256) = TensorFile::open_hashed(path)?;
        set.check(path, &file.metadata)?;
        let number = [(SHARD_KEY.to_string(), range.index.to_string())].into();
        check_provenance(set.title, set.name, path, &number, &file.metadata)?;
        let start = |column: &Column| match file.tensors.get(&column.name) {
            Some((dtype, shape, place)) if *dtype == column.dtype && *shape == column.shape_of(range.count) => {
                Ok(place.start as u64)
            }
            _ => Err(TrainError::damaged(path, format!("its tensors are not those of a shard of {}", set.name))),
        };
        Ok(Self { sha256, starts: set.columns.iter().map(start).collect::<Result<_, _>>()? })
    }
}

/// A complete set of rows, every byte of which was checked once. They stay on the disk until they are asked for.
#[derive(Clone, Debug)]
pub(in crate::data) struct RowStore {
    folder: PathBuf,
    set: RowSet,
    /// Where each column of each shard begins.
    starts: Vec<Vec<u64>>,
}

impl RowStore {
    pub(super) fn new(folder: &Path, set: &RowSet) -> Self {
        Self { folder: folder.to_path_buf(), set: set.clone(), starts: Vec::new() }
    }

    /// Takes the next shard and returns its hash.
    pub(super) fn add(&mut self, shard: Shard) -> String {
        self.starts.push(shard.starts);
        shard.sha256
    }

    /// Opens the complete set in `folder`.
    ///
    /// # Errors
    /// [`TrainError::StoreMismatch`], [`TrainError::Damaged`], [`TrainError::Read`].
    pub fn open(folder: &Path, set: &RowSet) -> Result<Self, TrainError> {
        let complete = Complete::read(folder, set.name)?.ok_or_else(|| {
            TrainError::damaged(folder, format!("the {} are not complete, since {COMPLETE} is missing", set.name))
        })?;
        set.check(&folder.join(COMPLETE), &complete.provenance)?;
        let mut store = Self::new(folder, set);
        for index in 0..set.shards() {
            let path = set.path(folder, index);
            let shard = Shard::open(&path, set, set.range(index))?;
            let wanted = complete.shards.get(index as usize).map_or("nothing", String::as_str);
            if wanted != shard.sha256 {
                let found = shard.sha256;
                let reason =
                    format!("its SHA-256 is {found}, but {COMPLETE} says {wanted}; delete the file to have it made anew");
                return Err(TrainError::damaged(path, reason));
            }
            store.add(shard);
        }
        Ok(store)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.set.count).unwrap_or(usize::MAX)
    }

    /// What a row consists of.
    pub fn columns(&self) -> &[Column] {
        &self.set.columns
    }

    /// A row's number that is one.
    ///
    /// # Errors
    /// [`TrainError::NoRow`].
    pub fn row(&self, number: i64) -> Result<usize, TrainError> {
        let row = usize::try_from(number).ok().filter(|&row| row < self.len());
        row.ok_or_else(|| TrainError::NoRow { one: self.set.one, number, count: self.len() })
    }

    /// Hands out the bytes of the rows `numbers`: each with its place among the numbers, and the column's. Rows come in
    /// the order in which they lie on the disk.
    ///
    /// # Errors
    /// [`TrainError::NoRow`], [`TrainError::Read`], and those of `take`.
    pub fn visit(
        &self,
        numbers: &[usize],
        mut take: impl FnMut(usize, usize, &[u8]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by_key(|&place| numbers[place]);
        let shard_size = usize::try_from(self.set.shard).unwrap_or(usize::MAX).max(1);
        let mut bytes = Vec::new();
        let mut open: Option<(usize, PathBuf, File)> = None;
        for place in order {
            let number = numbers[place];
            let shard = number / shard_size;
            let starts = self.starts.get(shard).filter(|_| number < self.len());
            let starts = starts.ok_or_else(|| TrainError::NoRow {
                one: self.set.one,
                number: i64::try_from(number).unwrap_or(i64::MAX),
                count: self.len(),
            })?;
            if open.as_ref().is_none_or(|(index, ..)| *index != shard) {
                let path = self.set.path(&self.folder, shard as u64);
                let file = File::open(&path).map_err(TrainError::read(&path))?;
                open = Some((shard, path, file));
            }
            let Some((_, path, file)) = &mut open else { continue };
            for (index, (column, start)) in self.set.columns.iter().zip(starts).enumerate() {
                bytes.resize(column.row_bytes(), 0);
                let position = start + (number % shard_size * bytes.len()) as u64;
                let mut read = || {
                    file.seek(SeekFrom::Start(position))?;
                    file.read_exact(&mut bytes)
                };
                read().map_err(TrainError::read(&*path))?;
                take(place, index, &bytes)?;
            }
        }
        Ok(())
    }
}

/// Decodes stored floats of this type into as many places.
pub(in crate::data) fn floats(dtype: Dtype, bytes: &[u8], values: &mut [f32]) {
    if dtype == Dtype::F16 {
        let halves = bytes.as_chunks().0.iter().map(|&half| f16::from_le_bytes(half).to_f32());
        values.iter_mut().zip(halves).for_each(|(value, half)| *value = half);
    } else {
        let singles = bytes.as_chunks().0.iter().map(|&single| f32::from_le_bytes(single));
        values.iter_mut().zip(singles).for_each(|(value, single)| *value = single);
    }
}

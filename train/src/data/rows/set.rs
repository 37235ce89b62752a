//! What a set of rows is, and what it consists of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::Dtype;

use crate::error::TrainError;
use crate::recipe::PairDtype;
use crate::store::tensor_file::Values;

/// The metadata key of a shard's number.
pub(super) const SHARD_KEY: &str = "shard";

/// What a set of rows is.
#[derive(Clone, Debug)]
pub(in crate::data) struct RowSet {
    /// What the rows are called, in the shards' names too.
    pub name: &'static str,
    /// What they are called in full.
    pub title: &'static str,
    /// What one of them is called.
    pub one: &'static str,
    /// Everything that their bytes depend on, by field.
    pub provenance: BTreeMap<String, String>,
    /// How many there are.
    pub count: u64,
    /// How many are in a shard; the last one may have fewer.
    pub shard: u64,
    /// What a row consists of, sorted by name.
    pub columns: Vec<Column>,
}

/// One tensor of every row.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::data) struct Column {
    pub name: String,
    pub dtype: Dtype,
    /// Shape in one row; empty for a number.
    pub shape: Vec<usize>,
}

/// The values of one column of a shard, row by row.
#[derive(Clone, Debug)]
pub(in crate::data) enum Cells {
    F32(Vec<f32>),
    F16(Vec<f16>),
    U32(Vec<u32>),
}

/// The rows of one shard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::data) struct ShardRange {
    /// The shard, from 0.
    pub index: u64,
    /// Number of its first row.
    pub first: u64,
    /// How many rows.
    pub count: u64,
}

impl RowSet {
    /// How many shards there are.
    pub fn shards(&self) -> u64 {
        self.count.div_ceil(self.shard.max(1))
    }

    /// The rows of shard `index`.
    pub fn range(&self, index: u64) -> ShardRange {
        let first = index.saturating_mul(self.shard);
        ShardRange { index, first, count: self.count.saturating_sub(first).min(self.shard) }
    }

    pub(super) fn path(&self, folder: &Path, index: u64) -> PathBuf {
        folder.join(format!("{}-{index:05}.safetensors", self.name))
    }

    /// Compares what is stored in `path` with this set's provenance.
    ///
    /// # Errors
    /// [`TrainError::StoreMismatch`] naming the first field that differs.
    pub(super) fn check(&self, path: &Path, stored: &BTreeMap<String, String>) -> Result<(), TrainError> {
        check_provenance(self.title, self.name, path, &self.provenance, stored)
    }
}

/// Compares a stored provenance with the one that is wanted.
///
/// # Errors
/// [`TrainError::StoreMismatch`] naming the first field that differs.
pub(in crate::data) fn check_provenance(
    title: &'static str,
    name: &'static str,
    path: &Path,
    wanted: &BTreeMap<String, String>,
    stored: &BTreeMap<String, String>,
) -> Result<(), TrainError> {
    for (field, wanted) in wanted {
        let found = stored.get(field);
        if found != Some(wanted) {
            return Err(TrainError::StoreMismatch {
                title,
                name,
                path: path.to_path_buf(),
                field: field.as_str().into(),
                stored: found.map_or("nothing", String::as_str).into(),
                wanted: wanted.as_str().into(),
            });
        }
    }
    Ok(())
}

impl Column {
    /// A column of floats.
    pub fn floats(name: &str, dtype: PairDtype, shape: &[usize]) -> Self {
        let dtype = match dtype {
            PairDtype::F16 => Dtype::F16,
            PairDtype::F32 => Dtype::F32,
        };
        Self { name: name.to_string(), dtype, shape: shape.to_vec() }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }

    /// Shape of so many rows.
    pub(super) fn shape_of(&self, rows: u64) -> Vec<usize> {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        std::iter::once(rows).chain(self.shape.iter().copied()).collect()
    }
}

impl Cells {
    /// Floats in the precision that they are stored in; none where one of them is not finite in it.
    pub fn finite(values: Vec<f32>, dtype: PairDtype) -> Option<Self> {
        let cells = Self::rounded(values, dtype);
        let finite = match &cells {
            Self::F32(values) => values.iter().all(|value| value.is_finite()),
            Self::F16(values) => values.iter().all(|value| value.is_finite()),
            Self::U32(_) => true,
        };
        finite.then_some(cells)
    }

    /// Floats in the precision that they are stored in.
    pub fn rounded(values: Vec<f32>, dtype: PairDtype) -> Self {
        match dtype {
            PairDtype::F32 => Self::F32(values),
            PairDtype::F16 => Self::F16(values.into_iter().map(f16::from_f32).collect()),
        }
    }

    pub fn values(&self) -> Values<'_> {
        match self {
            Self::F32(values) => Values::F32(values),
            Self::F16(values) => Values::F16(values),
            Self::U32(values) => Values::U32(values),
        }
    }
}

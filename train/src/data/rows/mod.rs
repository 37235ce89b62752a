//! Rows on the disk: a numbered set of equal rows, each a few tensors, in shards that say what they are.
//!
//! A shard is `NAME-00000.safetensors`; each of its tensors is one column, `[rows of the shard, ..]`, and its metadata is
//! the provenance of the whole set. A shard is made once, whole or not at all, and made anew where it is missing or
//! damaged. `COMPLETE.json` lists the hashes of all. Memory is that of one shard while it is made, and of the rows asked
//! for while they are read.

mod collect;
mod complete;
mod read;
mod set;

pub(super) use collect::collect;
pub(super) use complete::provenance;
pub(super) use read::{RowStore, floats};
pub(super) use set::{Cells, Column, RowSet, ShardRange, check_provenance};

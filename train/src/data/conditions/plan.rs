//! What a set of conditions is.

use std::collections::BTreeMap;

use dmdx_runtime::manifest::Unconditional;

use super::input_rows::InputRows;
use crate::data::rows::{Column, RowSet};
use crate::recipe::PairDtype;

/// Prompts that are embedded together. The numbers depend on it, so it is the same for everybody.
pub(super) const CHUNK: usize = 20;
/// What conditions are called.
pub(super) const NAME: &str = "conditions";

/// Everything that the bytes of a set of conditions depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionPlan {
    /// Hash of the teacher's files.
    pub teacher_sha256: String,
    /// Hash of the prompts, in order.
    pub prompts_sha256: String,
    /// How many prompts there are.
    pub prompt_count: usize,
    /// How prompts become conditions, in words: the family, and what can be set about it.
    pub encoding: String,
    /// What the network is given where it is asked for nothing.
    pub unconditional: Unconditional,
    /// Stored precision.
    pub dtype: PairDtype,
    /// About how many bytes a shard has.
    pub shard_bytes: usize,
}

impl ConditionPlan {
    /// A usual [`ConditionPlan::shard_bytes`].
    pub const SHARD_BYTES: usize = 64 << 20;

    /// The provenance as text, by field, without what is only known once something was embedded.
    pub(super) fn provenance(&self) -> BTreeMap<String, String> {
        let dtype = match self.dtype {
            PairDtype::F16 => "f16",
            PairDtype::F32 => "f32",
        };
        [
            ("format", "1".to_string()),
            ("teacher_sha256", self.teacher_sha256.clone()),
            ("prompts_sha256", self.prompts_sha256.clone()),
            ("prompt_count", self.prompt_count.to_string()),
            ("encoding", self.encoding.clone()),
            ("unconditional", self.unconditional.words().to_string()),
            ("dtype", dtype.to_string()),
        ]
        .map(|(field, value)| (field.to_string(), value))
        .into()
    }

    /// The rows of these conditions, given one row of every input, sorted by name.
    pub(super) fn rows(&self, inputs: &[InputRows]) -> RowSet {
        let columns: Vec<Column> = inputs.iter().map(|input| Column::floats(&input.name, self.dtype, &input.shape)).collect();
        let row_bytes = columns.iter().map(Column::row_bytes).sum::<usize>().max(1);
        let shard = (self.shard_bytes / row_bytes / CHUNK).max(1) * CHUNK;
        let mut provenance = self.provenance();
        let shapes = inputs.iter().map(|input| format!("{} {:?}", input.name, input.shape)).collect::<Vec<_>>();
        provenance.insert("inputs".into(), shapes.join(", "));
        provenance.insert("shard_size".into(), shard.to_string());
        RowSet {
            name: NAME,
            title: NAME,
            one: "condition",
            provenance,
            count: self.prompt_count as u64,
            shard: shard as u64,
            columns,
        }
    }
}

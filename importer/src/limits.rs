//! Every size, depth and count that a file may have before it is refused. All of them can be raised by the caller.

use std::path::Path;

use crate::error::{ImportError, Result};

/// Limits on what is read. The defaults are far above every released checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a config.json, model_index.json or scheduler_config.json.
    pub config_bytes: u64,
    /// Nesting of arrays and objects in any JSON file.
    pub json_depth: usize,
    /// Bytes of a `*.safetensors.index.json` (one line per tensor).
    pub index_bytes: u64,
    /// Shards of one index.
    pub shards: usize,
    /// Bytes of a tokenizer file (`tokenizer.json` of the largest released vocabularies has 17 MiB).
    pub tokenizer_bytes: u64,
    /// Bytes of a safetensors header; the format itself stops at 100 MB.
    pub header_bytes: u64,
    /// Tensors of one checkpoint.
    pub tensors: usize,
    /// Bytes of a tensor's name.
    pub name_bytes: usize,
    /// Dimensions of a tensor.
    pub rank: usize,
    /// Size of one dimension.
    pub dimension: u64,
    /// Elements of one tensor.
    pub elements: u64,
    /// Bytes of one tensor.
    pub tensor_bytes: u64,
    /// Bytes mapped for one component.
    pub mapped_bytes: u64,
    /// Bytes of the graph text in a converted file.
    pub graph_bytes: u64,
    /// Bytes of an ONNX model file without its external data; protobuf itself stops below 2 GiB.
    pub model_bytes: u64,
    /// Nesting of messages in an ONNX model.
    pub message_depth: usize,
    /// Nodes of all graphs of an ONNX model.
    pub nodes: usize,
    /// Inputs or outputs of an ONNX model, or of one of its nodes.
    pub inputs: usize,
    /// Attributes of an ONNX node.
    pub attributes: usize,
    /// Bytes of one tensor that is computed from constants during an import.
    pub folded_tensor_bytes: u64,
    /// Bytes of all tensors that are computed from constants during an import.
    pub folded_bytes: u64,
    /// Bytes of the pickled description in a `.bin` or `.ckpt` file; the tensors' bytes lie beside it.
    pub pickle_bytes: u64,
    /// Components of a pipeline.
    pub components: usize,
    /// Entries of a folder that are looked at.
    pub folder_entries: usize,
}

/// Refuses what is larger than a limit: `what` was measured in the file at `path`, `setting` is the field of [`Limits`].
///
/// # Errors
/// [`ImportError::Limit`] when `value` is above `limit`.
pub(crate) fn within<V, L>(path: &Path, what: &str, value: V, limit: L, setting: &'static str) -> Result<()>
where
    V: TryInto<u128>,
    L: TryInto<u128>,
{
    let [value, limit] = [value.try_into().unwrap_or(u128::MAX), limit.try_into().unwrap_or(u128::MAX)];
    if value > limit {
        return Err(ImportError::Limit { path: path.into(), what: what.into(), value, limit, setting });
    }
    Ok(())
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self {
            config_bytes: MIB,
            json_depth: 32,
            index_bytes: 64 * MIB,
            shards: 10_000,
            tokenizer_bytes: 64 * MIB,
            header_bytes: 100_000_000,
            tensors: 200_000,
            name_bytes: 64 << 10,
            rank: 8,
            dimension: 1 << 40,
            elements: 1 << 48,
            tensor_bytes: 64 * GIB,
            mapped_bytes: 512 * GIB,
            graph_bytes: 64 * MIB,
            model_bytes: 2 * GIB - 1,
            message_depth: 64,
            nodes: 500_000,
            inputs: 1_000,
            attributes: 256,
            folded_tensor_bytes: 64 * MIB,
            folded_bytes: 256 * MIB,
            pickle_bytes: 16 * MIB,
            components: 64,
            folder_entries: 100_000,
        }
    }
}

//! `*.safetensors.index.json`: which tensor lies in which shard. Every name in it is attacker input.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::json;
use crate::error::{ImportError, JsonFault, PathRule, Result};
use crate::limits::{Limits, within};
use crate::path::{FilePolicy, OpenFile, check_name, open_known};

/// Tensor names by shard.
pub(super) type Shards = BTreeMap<String, BTreeSet<String>>;

/// Reads an index and checks the form of every shard's name.
///
/// # Errors
/// When it is not the JSON that the libraries write, or names something that is not a safetensors file in the folder.
pub(super) fn read(folder: &Path, name: &str, limits: &Limits, policy: &FilePolicy) -> Result<(OpenFile, Shards)> {
    let open = open_known(folder, name, policy)?;
    let value = json::read_object(&open, limits.index_bytes, "index_bytes", limits)?.value;
    let shards = shards(&open.path, &value, limits)?;
    Ok((open, shards))
}

fn shards(path: &Path, value: &Value, limits: &Limits) -> Result<Shards> {
    let fail = |fault| ImportError::Json { path: path.into(), fault };
    let map = value.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| fail(JsonFault::NoWeightMap))?;
    if map.is_empty() {
        return Err(fail(JsonFault::EmptyWeightMap));
    }
    let mut shards = Shards::new();
    for (tensor, shard) in map {
        let shard = shard.as_str().ok_or_else(|| fail(JsonFault::ShardName))?;
        shards.entry(shard.into()).or_default().insert(tensor.clone());
    }
    within(path, "the number of tensors", map.len(), limits.tensors, "tensors")?;
    within(path, "the number of shards", shards.len(), limits.shards, "shards")?;
    // An index of pickle files is read only where these are allowed.
    let pickle = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".bin.index."));
    let wanted = if pickle { ".bin" } else { ".safetensors" };
    for shard in shards.keys() {
        let refuse = |rule| ImportError::Path { file: path.into(), name: shard.clone(), rule };
        check_name(shard).map_err(refuse)?;
        if !shard.ends_with(wanted) {
            return Err(refuse(PathRule::Extension { wanted }));
        }
    }
    Ok(shards)
}

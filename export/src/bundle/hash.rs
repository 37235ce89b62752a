//! Sizes and hashes of a bundle's files.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::store::hash;
use dmdx_runtime::manifest::FileRecord;

use crate::error::{Result, io};

/// Every file below `folder`, by path relative to it with `/`.
pub(super) fn records(folder: &Path) -> Result<BTreeMap<String, FileRecord>> {
    let mut records = BTreeMap::new();
    collect(folder, "", &mut records)?;
    Ok(records)
}

fn collect(folder: &Path, prefix: &str, records: &mut BTreeMap<String, FileRecord>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(io(folder, "read"))? {
        let entry = entry.map_err(io(folder, "read"))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &format!("{name}/"), records)?;
        } else {
            let hash = hash::file(&path).map_err(io(&path, "read"))?;
            records.insert(name, FileRecord { bytes: hash.bytes, sha256: hash.sha256 });
        }
    }
    Ok(())
}

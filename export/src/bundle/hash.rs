//! Sizes and hashes of a bundle's files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use dmdx_runtime::bundle::manifest::FileRecord;
use sha2::{Digest, Sha256};

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
            records.insert(name, record(&path).map_err(io(&path, "read"))?);
        }
    }
    Ok(())
}

fn record(path: &Path) -> std::io::Result<FileRecord> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0u8; 1 << 20];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            break;
        }
        hasher.update(&block[..count]);
        bytes += count as u64;
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileRecord { bytes, sha256 })
}

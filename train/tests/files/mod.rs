//! The files of two runs that must not differ.

use std::collections::BTreeMap;
use std::path::Path;

use super::events;

/// Every file below a folder, but for what the clock says and the lock, which names the process.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(place) = folders.pop() {
        for entry in std::fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                if let Some(bytes) = events::lasting(&name, std::fs::read(&path).unwrap()) {
                    files.insert(name, bytes);
                }
            }
        }
    }
    files
}

/// Fails with the names of the files that differ.
pub fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let different: Vec<&String> = a.iter().filter(|(name, bytes)| b[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(different.is_empty(), "{different:?} differ");
}

//! Who may import whom, read off the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The folders of this crate that the files below `room` name after `crate::`.
fn imports(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            imports(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // A use of several folders at once names them in braces.
        assert!(!text.contains("crate::{"), "{} imports several rooms in one line", path.display());
        for (_, rest) in text.match_indices("crate::").map(|(at, word)| text.split_at(at + word.len())) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.insert(name);
        }
    }
}

#[test]
fn rooms_import_downwards_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rules: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("store", &["error", "store"][..]),
        ("session", &["error", "session", "store"]),
        ("trainer", &["error", "recipe", "session", "store", "trainer"]),
        ("report", &["error", "recipe", "report", "session", "store"]),
    ]);
    for (room, allowed) in rules {
        let mut found = BTreeSet::new();
        imports(&source.join(room), &mut found);
        let more: Vec<&String> = found.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(more.is_empty(), "{room} imports {more:?}");
    }
    let above = ["store", "session", "data", "trainer", "report", "recipe", "method", "module", "teacher", "discriminator"];
    for room in above {
        let mut found = BTreeSet::new();
        imports(&source.join(room), &mut found);
        assert!(!found.contains("job"), "{room} imports job");
    }
}

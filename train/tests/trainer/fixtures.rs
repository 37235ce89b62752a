//! The cards of the main job's data say what is there.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_train::store::hash;

#[test]
fn the_cards_hashes_are_the_files() {
    for name in ["digits-sdxl", "digits-sam"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name);
        let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let listed: BTreeMap<String, String> = card
            .lines()
            .filter_map(|line| line.split_once("  "))
            .filter(|(hash, _)| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(|(hash, path)| (path.to_string(), hash.to_string()))
            .collect();
        for (path, wanted) in &listed {
            assert_eq!(hash::file(&folder.join(path)).unwrap(), *wanted, "{name}/{path}");
        }
        for path in hash::model_files(&folder).unwrap() {
            assert!(listed.contains_key(&path), "{name}/{path} is not in the card");
        }
    }
}

#[test]
fn a_model_that_is_not_there_cannot_be_hashed() {
    let folder = tempfile::tempdir().unwrap();
    for result in [hash::model(&folder.path().join("none")), hash::file(&folder.path().join("none"))] {
        assert!(result.unwrap_err().to_string().contains("none cannot be read"));
    }
}

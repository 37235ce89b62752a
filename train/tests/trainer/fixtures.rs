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
        for path in hash::model(&folder).unwrap().keys() {
            assert!(listed.contains_key(path), "{name}/{path} is not in the card");
        }
    }
}

#[test]
fn a_models_hash_is_of_its_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("unet")).unwrap();
    std::fs::write(folder.path().join("unet/config.json"), "{}").unwrap();
    std::fs::write(folder.path().join("model_index.json"), "{}").unwrap();
    let before = hash::combined(&hash::model(folder.path()).unwrap());
    std::fs::write(folder.path().join("dmdx.toml"), "recipe").unwrap();
    assert_eq!(hash::combined(&hash::model(folder.path()).unwrap()), before);
    std::fs::write(folder.path().join("unet/config.json"), "{ }").unwrap();
    assert_ne!(hash::combined(&hash::model(folder.path()).unwrap()), before);
    assert!(hash::model(&folder.path().join("none")).unwrap_err().to_string().contains("none cannot be read"));
}

//! Random damage to small files: every one of them is read or refused, none ends the program.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::LazyLock;

use common::fixture;
use dmdx_importer::graph_file::WriteOptions;
use dmdx_importer::{ImportOptions, convert, import, import_pipeline};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(2026), ..ProptestConfig::default() }
}

/// The beginning of a file, where its structure is, takes most of the damage.
fn damage(length: usize, hot: usize) -> impl Strategy<Value = Vec<(usize, u8)>> {
    let place = prop_oneof![4 => 0..hot.min(length), 1 => 0..length];
    // Mostly printable: other bytes end in the UTF-8 check.
    let value = prop_oneof![4 => 32u8..127, 1 => any::<u8>()];
    prop::collection::vec((place, value), 1..4)
}

fn damaged(bytes: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for &(place, value) in changes {
        bytes[place] = value;
    }
    bytes
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

static WEIGHTS: LazyLock<Vec<u8>> = LazyLock::new(|| read("zoo/clip_l/model.safetensors"));
static CONFIG: LazyLock<Vec<u8>> = LazyLock::new(|| read("zoo/clip_l/config.json"));
static INDEX: LazyLock<Vec<u8>> = LazyLock::new(|| read("zoo/sharded_clip_l/model.safetensors.index.json"));
static PIPELINE: LazyLock<Vec<u8>> = LazyLock::new(|| read("digits-sdxl/model_index.json"));
static CONVERTED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    convert(&fixture("zoo/clip_l"), &path, &ImportOptions::default(), WriteOptions::default()).unwrap();
    std::fs::read(path).unwrap()
});

/// A message is one line that says something; the result may be either.
fn sound<T>(result: dmdx_importer::Result<T>) {
    if let Err(error) = result {
        assert!(error.to_string().len() > 20, "{error:?}");
    }
}

fn import_with(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
    sound(import(folder, &ImportOptions::default()));
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn safetensors(changes in damage(WEIGHTS.len(), 6000)) {
        let folder = common::copy("zoo/clip_l");
        import_with(folder.path(), "model.safetensors", &damaged(&WEIGHTS, &changes));
    }

    #[test]
    fn safetensors_cut_short(length in 0..WEIGHTS.len()) {
        let folder = common::copy("zoo/clip_l");
        import_with(folder.path(), "model.safetensors", &WEIGHTS[..length]);
    }

    #[test]
    fn configurations(changes in damage(CONFIG.len(), CONFIG.len())) {
        let folder = common::copy("zoo/clip_l");
        import_with(folder.path(), "config.json", &damaged(&CONFIG, &changes));
    }

    #[test]
    fn configuration_values(key in 0usize..18, value in prop_oneof![
        any::<i64>().prop_map(|v| serde_json::json!(v)),
        any::<f64>().prop_map(|v| serde_json::json!(v)),
        (1i64..300).prop_map(|v| serde_json::json!(v)),
        Just(serde_json::json!(null)),
        Just(serde_json::json!([])),
        Just(serde_json::json!("")),
    ]) {
        let folder = common::copy("zoo/clip_l");
        let mut config: serde_json::Value = serde_json::from_slice(&CONFIG).unwrap();
        let key = config.as_object().unwrap().keys().nth(key).unwrap().clone();
        config[key] = value;
        import_with(folder.path(), "config.json", config.to_string().as_bytes());
    }

    #[test]
    fn indices(changes in damage(INDEX.len(), INDEX.len())) {
        let folder = common::copy("zoo/sharded_clip_l");
        import_with(folder.path(), "model.safetensors.index.json", &damaged(&INDEX, &changes));
    }

    #[test]
    fn converted_files(changes in damage(CONVERTED.len(), 40_000)) {
        let folder = tempfile::tempdir().unwrap();
        import_with(folder.path(), "model.safetensors", &damaged(&CONVERTED, &changes));
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn pipelines(changes in damage(PIPELINE.len(), PIPELINE.len())) {
        let folder = common::copy("digits-sdxl");
        std::fs::write(folder.path().join("model_index.json"), damaged(&PIPELINE, &changes)).unwrap();
        sound(import_pipeline(folder.path(), &ImportOptions::default()));
    }
}

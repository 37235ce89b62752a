//! One hash says which bytes a model came from, whoever asks.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{copy, copy_into, edit_text, fixture};
use dmdx_graph::store::hash;
use dmdx_importer::{ImportError, ImportOptions, LoraFile, import_pipeline, provenance};

fn of(path: &Path, options: &ImportOptions) -> String {
    import_pipeline(path, options).unwrap().hash().unwrap()
}

#[test]
fn a_folders_hash_is_that_of_the_lines_of_sha256sum() {
    let path = fixture("digits-sdxl");
    let hashes = provenance::hashes(&path).unwrap();
    assert!(hashes.keys().eq(&provenance::files(&path).unwrap()));
    assert_eq!(hashes.len(), 18);
    assert_eq!(hashes["unet/config.json"], hash::file(&path.join("unet/config.json")).unwrap().sha256);
    // `sha256sum` of the 18 files in the order of their paths, through `sha256sum`: what students and pairs of this teacher
    // are stamped with.
    let wanted = "9d35a90772d47a2f60fdee00c810e11f78c9d141f032303847300a5dbaa6264d";
    assert_eq!(provenance::sha256(&path).unwrap(), wanted);
    assert_eq!(of(&path, &ImportOptions::default()), wanted);
}

#[test]
fn the_hash_is_of_the_models_files_alone() {
    let folder = copy("digits-sdxl");
    let hash = || provenance::sha256(folder.path()).unwrap();
    let before = hash();
    std::fs::write(folder.path().join("dmdx.toml"), "another recipe").unwrap();
    std::fs::create_dir(folder.path().join("runs")).unwrap();
    std::fs::write(folder.path().join("runs/picture.png"), "").unwrap();
    assert_eq!(hash(), before);
    for name in ["model_index.json", "unet/config.json", "tokenizer/merges.txt", "scheduler/scheduler_config.json"] {
        let last = hash();
        edit_text(&folder.path().join(name), |text| text + "\n");
        assert_ne!(hash(), last, "{name}");
        assert_eq!(of(folder.path(), &ImportOptions::default()), hash());
    }
    let deep = folder.path().join("unet/a/b/c/d/e/f/g/h/i");
    std::fs::create_dir_all(&deep).unwrap();
    assert!(provenance::files(folder.path()).unwrap_err().to_string().contains("more folders within folders"));
    assert!(matches!(provenance::sha256(&folder.path().join("none")), Err(ImportError::Read { .. })));
}

#[test]
fn a_files_hash_is_that_of_the_file() {
    let file = fixture("original/sdxl/sdxl.safetensors");
    let known = import_pipeline(&file, &ImportOptions::default());
    let sha256 = hash::file(&file).unwrap().sha256;
    assert_eq!(provenance::sha256(&file).unwrap(), sha256);
    assert_eq!(provenance::hashes(&file).unwrap(), [("sdxl.safetensors".to_string(), sha256.clone())].into());
    // A file that needs no other to be read.
    if let Ok(pipeline) = known {
        assert_eq!(pipeline.hash().unwrap(), sha256);
    }
}

#[test]
fn what_is_merged_and_given_beside_a_file_counts() {
    let file = fixture("original/sdxl/sdxl.safetensors");
    let folder = tempfile::tempdir().unwrap();
    copy_into(&fixture("original/sdxl/config"), folder.path());
    let plain = ImportOptions { config: Some(folder.path().into()), ..ImportOptions::default() };
    let with = |lora: &str, scale| {
        let loras = vec![LoraFile { path: fixture(&format!("lora/{lora}.safetensors")), scale }];
        of(&file, &ImportOptions { loras, ..plain.clone() })
    };
    let hashes = [of(&file, &plain), with("peft", 0.5), with("peft", 1.0), with("kohya", 0.5)];
    assert_eq!(std::collections::BTreeSet::from(hashes.clone()).len(), 4, "{hashes:?}");
    assert_eq!(with("peft", 0.5), hashes[1]);
    edit_text(&folder.path().join("model_index.json"), |text| text + "\n");
    assert_ne!(of(&file, &plain), hashes[0]);
}

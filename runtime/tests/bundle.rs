//! A bundle is refused with one sentence if anything in it is not what its manifest says.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::copy_of_bundle;
use dmdx_runtime::manifest::Manifest;
use dmdx_runtime::{Bundle, Error};

fn refusal(folder: &Path) -> String {
    let error = Bundle::open(folder).unwrap_err();
    let text = error.chain();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(error.exit_code(), 1);
    text
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("dmdx.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn the_fixture_opens_and_its_manifest_is_canonical() {
    let bundle = Bundle::open(&common::fixture("tiny-bundle/bundle")).unwrap();
    let text = bundle.manifest().to_json().unwrap();
    assert_eq!(&Manifest::parse(&text).unwrap(), bundle.manifest());
    assert!(bundle.file("unet/model.onnx").unwrap().is_file());
    assert!(bundle.file("dmdx.json").is_err(), "only listed files");
}

#[test]
fn one_changed_byte_is_found_in_any_file() {
    let names: Vec<String> =
        Bundle::open(&common::fixture("tiny-bundle/bundle")).unwrap().manifest().files.keys().cloned().collect();
    assert!(names.len() > 10);
    for name in names {
        let folder = copy_of_bundle();
        let path = folder.path().join(&name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let text = refusal(folder.path());
        assert!(text.contains(&name) && text.contains("SHA-256"), "{text}");
    }
}

#[test]
fn missing_truncated_and_unlisted_files() {
    let folder = copy_of_bundle();
    let unet = folder.path().join("unet/model.onnx");
    let bytes = fs::read(&unet).unwrap();
    fs::write(&unet, &bytes[..bytes.len() - 1]).unwrap();
    assert!(refusal(folder.path()).contains("bytes but the manifest says"));
    fs::remove_file(&unet).unwrap();
    assert!(refusal(folder.path()).contains("missing"));
    fs::create_dir(&unet).unwrap();
    assert!(refusal(folder.path()).contains("not a regular file"));
    fs::remove_dir(&unet).unwrap();
    fs::write(&unet, bytes).unwrap();
    fs::write(folder.path().join("unet/model.onnx_data"), "x").unwrap();
    assert!(refusal(folder.path()).contains("does not list it"));
}

#[test]
fn a_path_that_leaves_the_folder() {
    for escape in ["../outside", "/etc/hostname", "unet/../../outside", "unet\\\\model.onnx"] {
        let folder = copy_of_bundle();
        edit(folder.path(), "\"model_index.json\": {", &format!("\"{escape}\": {{"));
        let text = refusal(folder.path());
        assert!(text.contains("files["), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leaves_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let folder = copy_of_bundle();
    let unet = folder.path().join("unet/model.onnx");
    fs::rename(&unet, outside.path().join("model.onnx")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("model.onnx"), &unet).unwrap();
    assert!(refusal(folder.path()).contains("leaves its folder"));
}

#[test]
fn what_is_no_bundle() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refusal(folder.path()).contains("no dmdx.json"));
    assert!(refusal(&folder.path().join("absent")).contains("cannot read"));
    fs::write(folder.path().join("dmdx.json"), "{").unwrap();
    assert!(refusal(folder.path()).contains("dmdx.json cannot be read"));
    assert!(refusal(&folder.path().join("dmdx.json")).contains("not a folder"));
    fs::write(folder.path().join("dmdx.json"), [0xff, 0xfe]).unwrap();
    assert!(refusal(folder.path()).contains("UTF-8"));
    let folder = copy_of_bundle();
    edit(folder.path(), "\"format_version\": 1", "\"format_version\": 99");
    assert!(refusal(folder.path()).contains("format version 99"));
}

#[test]
fn a_manifest_and_an_index_that_disagree() {
    let folder = copy_of_bundle();
    edit(folder.path(), "\"StableDiffusionXLPipeline\"", "\"StableDiffusionPipeline\"");
    let bundle = Bundle::open(folder.path()).unwrap();
    let engine = dmdx_runtime::engine::tract::TractEngine::new(1);
    let error = dmdx_runtime::Pipeline::open(&bundle, &engine).err().unwrap();
    assert!(matches!(&error, Error::Bundle { problem, .. } if problem.contains("dmdx.json says")), "{}", error.chain());
}

/// What a clone without git-lfs leaves.
#[test]
fn a_pointer_in_place_of_a_file() {
    let folder = copy_of_bundle();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abab\nsize 5135151440\n";
    fs::write(folder.path().join("unet/model.onnx"), pointer).unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("unet/model.onnx: is a Git LFS pointer, not the file itself; run `git lfs pull`"), "{text}");
}

/// Bundles where the hub's client puts them: every file is a link into the model's `blobs`.
#[cfg(unix)]
mod hub_cache {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use dmdx_runtime::{Tensor, run_model};

    use super::*;

    /// Moves the files of a folder into `models--me--bundle/blobs` and links them from a snapshot.
    fn cached(folder: &Path, hub: &Path) -> PathBuf {
        let model = hub.join("models--me--bundle");
        fs::create_dir_all(model.join("blobs")).unwrap();
        link_all(folder, &model.join("snapshots/0123abcd"), &model, "", "../../");
        model
    }

    fn link_all(from: &Path, to: &Path, model: &Path, prefix: &str, up: &str) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.path().is_dir() {
                link_all(&entry.path(), &to.join(&name), model, &format!("{prefix}{name}+"), &format!("../{up}"));
            } else {
                let blob = format!("{prefix}{name}");
                fs::copy(entry.path(), model.join("blobs").join(&blob)).unwrap();
                symlink(format!("{up}blobs/{blob}"), to.join(&name)).unwrap();
            }
        }
    }

    #[test]
    fn its_links_are_followed_and_no_others() {
        let hub = tempfile::tempdir().unwrap();
        let model = cached(&common::fixture("tiny-bundle/bundle"), hub.path());
        let snapshot = model.join("snapshots/0123abcd");
        let plain = Bundle::open(&common::fixture("tiny-bundle/bundle")).unwrap();
        for folder in [&snapshot, &model] {
            assert_eq!(Bundle::open(folder).unwrap().manifest(), plain.manifest());
        }
        // A link that leaves the blobs, even to the right bytes.
        let config = snapshot.join("model_index.json");
        fs::remove_file(&config).unwrap();
        symlink(common::fixture("tiny-bundle/bundle/model_index.json").canonicalize().unwrap(), &config).unwrap();
        assert!(refusal(&snapshot).ends_with("model_index.json: is a link that leaves its folder; put the file itself there"));
        fs::create_dir(model.join("snapshots/other")).unwrap();
        assert!(refusal(&model).contains("holds 2 snapshots and no refs/main that names one of them"));
    }

    /// Weights beside a model are links too, which engines have ideas of their own about.
    #[test]
    fn weights_beside_a_model() {
        let (hub, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["sound_external.onnx", "weights.bin"] {
            fs::copy(common::fixture("hostile/onnx").join(name), files.path().join(name)).unwrap();
        }
        let model = cached(files.path(), hub.path());
        let x = Tensor::f32([2, 4], (0..8).map(|i| i as f32 - 3.0).collect()).unwrap();
        for engine in common::engines() {
            let result = |folder: &Path| run_model(engine.as_ref(), &folder.join("sound_external.onnx"), &[("x", &x)]).unwrap();
            assert_eq!(result(&model.join("snapshots/0123abcd")), result(files.path()), "{}", engine.name());
        }
    }
}

//! Models where the hub's client puts them: links into the blobs of the same model are followed, and no others.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::{copy_into, fixture, sentence};
use dmdx_importer::{FilePolicy, ImportOptions, import, import_any, import_pipeline, provenance};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

fn options() -> ImportOptions {
    ImportOptions::default()
}

/// A fixture as `models--me--NAME` in `hub`; gives the model's folder. Blobs have the names of paths with `+` for `/`.
fn download(hub: &Path, name: &str, from: &str) -> PathBuf {
    let model = hub.join(format!("models--me--{name}"));
    let files = tempfile::tempdir().unwrap();
    copy_into(&fixture(from), files.path());
    let snapshot = model.join("snapshots").join(REVISION);
    std::fs::create_dir_all(model.join("blobs")).unwrap();
    link_all(files.path(), &snapshot, &model, "", "../../");
    model
}

fn link_all(from: &Path, to: &Path, model: &Path, prefix: &str, up: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            link_all(&entry.path(), &to.join(&name), model, &format!("{prefix}{name}+"), &format!("../{up}"));
        } else {
            let blob = format!("{prefix}{name}");
            std::fs::copy(entry.path(), model.join("blobs").join(&blob)).unwrap();
            symlink(format!("{up}blobs/{blob}"), to.join(&name)).unwrap();
        }
    }
}

#[test]
fn snapshots_are_read_as_they_stand() {
    let hub = tempfile::tempdir().unwrap();
    let pipe = download(hub.path(), "digits", "digits-sdxl");
    let snapshot = pipe.join("snapshots").join(REVISION);
    let whole = import_pipeline(&snapshot, &options()).unwrap();
    assert_eq!(whole.components.len(), 4);
    // A folder of it, and a file in that.
    let alone = import(&snapshot.join("unet"), &options()).unwrap();
    let file = import(&snapshot.join("unet/diffusion_pytorch_model.safetensors"), &options()).unwrap();
    let used = whole.components["unet"].report.used;
    assert_eq!((alone.report.used, file.report.used), (used, used));
    // Shards, which the index names.
    let clip = download(hub.path(), "clip", "zoo/sharded_clip_l");
    assert_eq!(import(&clip.join("snapshots").join(REVISION), &options()).unwrap().report.used, 52);
    // A link of the user's to the snapshot.
    symlink(&snapshot, hub.path().join("mine")).unwrap();
    assert_eq!(import_pipeline(&hub.path().join("mine"), &options()).unwrap().components.len(), 4);
}

#[test]
fn the_folder_of_a_model_is_its_snapshot() {
    let hub = tempfile::tempdir().unwrap();
    let model = download(hub.path(), "digits", "digits-sdxl");
    let snapshot = model.join("snapshots").join(REVISION);
    assert_eq!(import_pipeline(&model, &options()).unwrap().components.len(), 4);
    assert_eq!(provenance::sha256(&model).unwrap(), provenance::sha256(&fixture("digits-sdxl")).unwrap());
    // With a second snapshot, the branch decides.
    std::fs::create_dir(model.join("snapshots/feed")).unwrap();
    assert_eq!(
        sentence(import_any(&model, &options()), hub.path()),
        "`DIR/models--me--digits` holds 2 snapshots and no refs/main that names one of them; give one of the folders in its \
         `snapshots`"
    );
    std::fs::create_dir(model.join("refs")).unwrap();
    std::fs::write(model.join("refs/main"), format!("{REVISION}\n")).unwrap();
    assert_eq!(import_pipeline(&model, &options()).unwrap().components.len(), 4);
    for elsewhere in ["feed/..", "../../elsewhere", "dead"] {
        std::fs::write(model.join("refs/main"), elsewhere).unwrap();
        assert!(sentence(import_any(&model, &options()), hub.path()).contains("holds 2 snapshots"), "{elsewhere}");
    }
    std::fs::remove_dir_all(snapshot).unwrap();
    std::fs::remove_dir(model.join("snapshots/feed")).unwrap();
    assert_eq!(
        sentence(import_any(&model, &options()), hub.path()),
        "`DIR/models--me--digits` is a model's folder of the hub's cache without a snapshot; download the model again"
    );
}

/// Puts another link in the place of `config.json` and gives what importing says.
fn with_link(target: &str, prepare: impl Fn(&Path, &Path)) -> String {
    let hub = tempfile::tempdir().unwrap();
    let model = download(hub.path(), "clip", "zoo/clip_l");
    prepare(hub.path(), &model);
    let link = model.join("snapshots").join(REVISION).join("config.json");
    std::fs::remove_file(&link).unwrap();
    symlink(target, &link).unwrap();
    sentence(import(link.parent().unwrap(), &options()), hub.path())
}

#[test]
fn other_links_are_refused() {
    let refused = format!(
        "`DIR/models--me--clip/snapshots/{REVISION}` names the file \"config.json\", which leads out of the folder through a \
         link; give the folder that it may lead to with --root"
    );
    let secret = fixture("zoo/clip_l/config.json").canonicalize().unwrap();
    let nothing = |_: &Path, _: &Path| ();
    // Out of the cache.
    assert_eq!(with_link(secret.to_str().unwrap(), nothing), refused);
    // Out of `blobs`, into the model's own folder and into a folder below `blobs`.
    let file = |place: &'static str| {
        let secret = secret.clone();
        move |_: &Path, model: &Path| {
            std::fs::create_dir_all(model.join(place).parent().unwrap()).unwrap();
            std::fs::copy(&secret, model.join(place)).unwrap();
        }
    };
    assert_eq!(with_link("../../blobs/../refs/main", file("refs/main")), refused);
    assert_eq!(with_link("../../blobs/below/config", file("blobs/below/config")), refused);
    // A chain: to a link in `blobs` that leads out, and to one that leads to another blob.
    let chain = |target: &'static str| move |_: &Path, model: &Path| symlink(target, model.join("blobs/chain")).unwrap();
    let out = secret.to_str().unwrap().to_string().leak();
    assert_eq!(with_link("../../blobs/chain", chain(out)), refused);
    assert_eq!(with_link("../../blobs/chain", chain("config.json")), refused);
    // Another model's blobs, and `blobs` that are another model's.
    let other = |hub: &Path, _: &Path| drop(download(hub, "other", "zoo/clip_l"));
    assert_eq!(with_link("../../../models--me--other/blobs/config.json", other), refused);
    let moved = |hub: &Path, model: &Path| {
        std::fs::rename(model.join("blobs"), hub.join("blobs")).unwrap();
        symlink(hub.join("blobs"), model.join("blobs")).unwrap();
    };
    // The weights are the first that is opened.
    assert_eq!(with_link("../../blobs/config.json", moved), refused.replace("config.json", "model.safetensors"));
    // What is asked for is followed all the same.
    let hub = tempfile::tempdir().unwrap();
    let model = download(hub.path(), "clip", "zoo/clip_l");
    moved(hub.path(), &model);
    let files = FilePolicy { roots: vec![hub.path().join("blobs")], hard_links: false };
    let component = import(&model, &ImportOptions { files, ..options() }).unwrap();
    assert_eq!(component.report.used, 52);
}

/// A folder inside a model that looks like a snapshot of the cache gets no further than the model's own files.
#[test]
fn a_model_that_plays_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let model = download(folder.path(), "clip", "zoo/clip_l");
    std::fs::rename(&model, folder.path().join("clip")).unwrap();
    let snapshot = folder.path().join("clip/snapshots").join(REVISION);
    assert!(sentence(import(&snapshot, &options()), folder.path()).contains("leads out of the folder through a link"));
}

//! Checkpoint folders: shards, variants, pickle, and file names that try to leave the folder.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{copy, copy_into, edit, edit_text, fixture, sentence};
use dmdx_importer::hf::tensors::open;
use dmdx_importer::{FilePolicy, ImportOptions, import};

fn options() -> ImportOptions {
    ImportOptions::default()
}

const SECOND: &str = "model-00002-of-00003.safetensors";

/// An index in which the second shard has another name.
fn renamed_shard(name: &str) -> tempfile::TempDir {
    let folder = copy("zoo/sharded_clip_l");
    let name = serde_json::json!(name).to_string();
    edit_text(&folder.path().join("model.safetensors.index.json"), |text| text.replace(&format!("\"{SECOND}\""), &name));
    folder
}

#[test]
fn shards_equal_the_single_file() {
    let (sharded, whole) = (fixture("zoo/sharded_clip_l"), fixture("zoo/clip_l"));
    let sharded = open(&sharded, &options()).unwrap();
    let whole = open(&whole, &options()).unwrap();
    assert_eq!(sharded.files.len(), 3);
    assert_eq!(sharded.weights.len(), whole.weights.len());
    for (name, weight) in &whole.weights {
        assert_eq!(weight.hash(), sharded.weights[name].hash(), "{name}");
    }
    let through_index = import(&fixture("zoo/sharded_clip_l/model.safetensors.index.json"), &options()).unwrap();
    assert_eq!(through_index.param_elements(), 40_368);
}

#[test]
fn a_weights_file_beside_its_configuration() {
    let component = import(&fixture("zoo/clip_l/model.safetensors"), &options()).unwrap();
    assert_eq!((component.class.as_str(), component.report.used), ("CLIPTextModel", 52));
    let folder = copy("zoo/clip_l");
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    assert_eq!(
        sentence(import(&folder.path().join("model.safetensors"), &options()), folder.path()),
        "`DIR/model.safetensors` has no configuration, and its 52 tensors are those of a CLIPTextModel of other shapes than \
         the text encoder CLIP ViT-L/14, the text encoder CLIP ViT-L/14 with projection, the text encoder OpenCLIP ViT-H/14, \
         the text encoder OpenCLIP ViT-bigG/14; give the folder with its config.json with --config"
    );
    let config = ImportOptions { config: Some(fixture("zoo/clip_l")), ..options() };
    assert_eq!(import(&folder.path().join("model.safetensors"), &config).unwrap().report.used, 52);
}

#[test]
fn a_missing_shard() {
    let folder = copy("zoo/sharded_clip_l");
    std::fs::remove_file(folder.path().join(SECOND)).unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("model.safetensors.index.json")).unwrap()).unwrap();
    let expected = index["weight_map"].as_object().unwrap().values().filter(|shard| **shard == SECOND).count();
    assert_eq!(
        sentence(import(folder.path(), &options()), folder.path()),
        format!(
            "`DIR/model.safetensors.index.json` needs the shard \"{SECOND}\" ({expected} tensors), which is not in the \
             folder; download it again"
        )
    );
}

#[test]
fn index_and_shards_that_disagree() {
    let folder = copy("zoo/sharded_clip_l");
    let name = "text_model.final_layer_norm.weight";
    edit(&folder.path().join("model-00003-of-00003.safetensors"), |tensors| {
        let tensor = tensors.remove(name).unwrap();
        tensors.insert("stranger".into(), tensor);
    });
    assert_eq!(
        sentence(import(folder.path(), &options()), folder.path()),
        "`DIR/model.safetensors.index.json` does not fit its shards: \"model-00003-of-00003.safetensors\" lacks \
         text_model.final_layer_norm.weight, which the index places there; download both again"
    );
    edit(&folder.path().join("model-00003-of-00003.safetensors"), |tensors| {
        let tensor = tensors["stranger"].clone();
        tensors.insert(name.into(), tensor);
    });
    let component = import(folder.path(), &options()).unwrap();
    assert_eq!(
        component.report.notes,
        ["1 tensor(s) lie in shards without being in the index and are not read: stranger \
          (model-00003-of-00003.safetensors)"]
    );
}

#[test]
fn shard_names_that_leave_the_folder() {
    let plain = "contains `.` or `..`; only plain names inside the folder are read";
    let relative = "is not relative to the folder; only files inside it are read";
    for (name, reason) in [
        ("../model.safetensors", plain),
        ("a/../../model.safetensors", plain),
        ("./model.safetensors", plain),
        ("/etc/model.safetensors", relative),
        ("C:model.safetensors", relative),
        ("..\\model.safetensors", "contains a backslash or NUL character; only plain names separated by / are read"),
        ("a\0.safetensors", "contains a backslash or NUL character; only plain names separated by / are read"),
        ("", "is empty"),
        ("config.json", "is not a .safetensors file; convert the checkpoint to safetensors"),
    ] {
        let folder = renamed_shard(name);
        assert_eq!(
            sentence(open(folder.path(), &options()), folder.path()),
            format!("`DIR/model.safetensors.index.json` names the file {name:?}, which {reason}")
        );
    }
}

#[test]
fn a_shard_that_is_a_folder() {
    let folder = renamed_shard("sub.safetensors");
    std::fs::create_dir(folder.path().join("sub.safetensors")).unwrap();
    assert_eq!(
        sentence(open(folder.path(), &options()), folder.path()),
        "`DIR/model.safetensors.index.json` names the file \"sub.safetensors\", which is a folder; only regular files \
         are read"
    );
}

#[test]
fn broken_indices() {
    let refused = |text: &str| {
        let folder = copy("zoo/sharded_clip_l");
        std::fs::write(folder.path().join("model.safetensors.index.json"), text).unwrap();
        let text = sentence(open(folder.path(), &options()), folder.path());
        text.strip_prefix("`DIR/model.safetensors.index.json` is not valid JSON for this purpose: ").unwrap().to_string()
    };
    assert_eq!(refused("[]"), "it should be an object { … }");
    assert_eq!(refused("{}"), "it has no object `weight_map` of tensor names to shard files");
    assert_eq!(refused(r#"{"weight_map":{}}"#), "its `weight_map` names no tensor");
    assert_eq!(refused(r#"{"weight_map":{"a":1}}"#), "a value of `weight_map` is not a file name");
    let twice = r#"{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}"#;
    assert_eq!(refused(twice), "the key \"a\" occurs twice at line 1 column 55");
}

#[test]
fn pickle_is_refused() {
    let remedy = "which can run any code when it is read; convert it where you trust it, with \
                  `model.save_pretrained(folder, safe_serialization=True)`, or give --allow-pickle to read nothing but tensors";
    assert_eq!(
        sentence(import(&fixture("zoo/bin_clip_l"), &options()), &fixture("zoo/bin_clip_l")),
        format!("`DIR` holds weights only as pickle (pytorch_model.bin), {remedy}")
    );
    let file = fixture("zoo/bin_clip_l/pytorch_model.bin");
    assert!(import(&file, &options()).unwrap_err().to_string().contains(remedy));
}

#[test]
fn variants() {
    let folder = common::half_variant();
    let half = folder.path().join("diffusion_pytorch_model.fp16.safetensors");
    let wanted = |variant: &str| ImportOptions { variant: Some(variant.into()), ..options() };
    assert!(open(folder.path(), &wanted("fp16")).unwrap().notes.is_empty());
    assert_eq!(
        sentence(open(folder.path(), &wanted("bf16")), folder.path()),
        "`DIR` holds no safetensors weights; looked for diffusion_pytorch_model.bf16.safetensors, model.bf16.safetensors"
    );
    assert!(sentence(open(folder.path(), &wanted("../x")), folder.path()).contains("contains `.` or `..`"));
    std::fs::copy(&half, folder.path().join("diffusion_pytorch_model.bf16.safetensors")).unwrap();
    assert_eq!(
        sentence(open(folder.path(), &options()), folder.path()),
        "`DIR` holds several sets of weights (diffusion_pytorch_model.bf16.safetensors, \
         diffusion_pytorch_model.fp16.safetensors); say which with --variant, or move the others away"
    );
    // Plain files win over variants, as in the reference libraries.
    std::fs::copy(&half, folder.path().join("diffusion_pytorch_model.safetensors")).unwrap();
    assert_eq!(open(folder.path(), &options()).unwrap().files[0].0, "diffusion_pytorch_model.safetensors");
}

#[test]
fn sharded_variants_have_two_spellings() {
    for name in ["model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json"] {
        let folder = copy("zoo/sharded_clip_l");
        std::fs::rename(folder.path().join("model.safetensors.index.json"), folder.path().join(name)).unwrap();
        let options = ImportOptions { variant: Some("fp16".into()), ..options() };
        assert_eq!(open(folder.path(), &options).unwrap().files.len(), 3, "{name}");
    }
}

#[test]
fn no_weights_and_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        sentence(import(&folder.path().join("nowhere"), &options()), folder.path()),
        "`DIR/nowhere` does not exist; give a component folder, a .safetensors file or a pipeline folder"
    );
    // Nothing is downloaded here.
    let hub = import("stabilityai/sd-turbo".as_ref(), &options()).unwrap_err().to_string();
    assert!(hub.contains("`hf download stabilityai/sd-turbo`"), "{hub}");
    assert!(import("a/sdxl-1.0".as_ref(), &options()).unwrap_err().to_string().contains("hf download"));
    let file = import("models/unet.safetensors".as_ref(), &options()).unwrap_err().to_string();
    assert!(file.ends_with("give a component folder, a .safetensors file or a pipeline folder"), "{file}");
    std::fs::copy(fixture("zoo/clip_l/config.json"), folder.path().join("config.json")).unwrap();
    assert_eq!(
        sentence(import(folder.path(), &options()), folder.path()),
        "`DIR` holds no safetensors weights; looked for diffusion_pytorch_model.safetensors, model.safetensors"
    );
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    /// As the Hugging Face cache, but not in a folder that is called as there: `snapshots/main/*` link into `blobs/`.
    fn cache(fixture_name: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        copy_into(&fixture(fixture_name), &root.path().join("blobs"));
        let snapshot = root.path().join("snapshots/main");
        std::fs::create_dir_all(&snapshot).unwrap();
        for entry in std::fs::read_dir(root.path().join("blobs")).unwrap() {
            let name = entry.unwrap().file_name();
            symlink(Path::new("../../blobs").join(&name), snapshot.join(&name)).unwrap();
        }
        root
    }

    #[test]
    fn cache_links_need_the_root() {
        let root = cache("zoo/sharded_clip_l");
        let snapshot = root.path().join("snapshots/main");
        assert_eq!(
            sentence(import(&snapshot, &options()), root.path()),
            "`DIR/snapshots/main` names the file \"model.safetensors.index.json\", which leads out of the folder through \
             a link; give the folder that it may lead to with --root"
        );
        let files = FilePolicy { roots: vec![root.path().into()], hard_links: false };
        let component = import(&snapshot, &ImportOptions { files, ..options() }).unwrap();
        assert_eq!(component.report.used, 52);
    }

    #[test]
    fn links_inside_the_folder_are_fine() {
        let folder = copy("zoo/sharded_clip_l");
        std::fs::rename(folder.path().join(SECOND), folder.path().join("elsewhere")).unwrap();
        symlink("elsewhere", folder.path().join(SECOND)).unwrap();
        assert!(open(folder.path(), &options()).is_ok());
    }

    #[test]
    fn a_shard_or_a_folder_that_links_out() {
        let outside = copy("zoo/sharded_clip_l");
        let reason = "leads out of the folder through a link; give the folder that it may lead to with --root";
        let folder = copy("zoo/sharded_clip_l");
        std::fs::remove_file(folder.path().join(SECOND)).unwrap();
        symlink(outside.path().join(SECOND), folder.path().join(SECOND)).unwrap();
        assert_eq!(
            sentence(open(folder.path(), &options()), folder.path()),
            format!("`DIR/model.safetensors.index.json` names the file \"{SECOND}\", which {reason}")
        );
        let folder = renamed_shard(&format!("sub/{SECOND}"));
        symlink(outside.path(), folder.path().join("sub")).unwrap();
        assert!(sentence(open(folder.path(), &options()), folder.path()).ends_with(reason));
    }

    #[test]
    fn a_configuration_that_links_out() {
        let outside = copy("zoo/clip_l");
        let folder = copy("zoo/clip_l");
        std::fs::remove_file(folder.path().join("config.json")).unwrap();
        symlink(outside.path().join("config.json"), folder.path().join("config.json")).unwrap();
        assert!(sentence(import(folder.path(), &options()), folder.path()).contains("leads out of the folder"));
    }

    #[test]
    fn a_hard_link_named_by_an_index() {
        let folder = copy("zoo/sharded_clip_l");
        let outside = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
        std::fs::rename(folder.path().join(SECOND), outside.path().join("secret")).unwrap();
        std::fs::hard_link(outside.path().join("secret"), folder.path().join(SECOND)).unwrap();
        assert_eq!(
            sentence(open(folder.path(), &options()), folder.path()),
            format!(
                "`DIR/model.safetensors.index.json` names the file \"{SECOND}\", which has several hard links, so it may \
                 be a file from elsewhere; copy it, or give --allow-hard-links"
            )
        );
        let files = FilePolicy { hard_links: true, ..FilePolicy::default() };
        assert!(open(folder.path(), &ImportOptions { files, ..options() }).is_ok());
    }

    #[test]
    fn devices_and_loops() {
        let folder = copy("zoo/clip_l");
        let weights = folder.path().join("model.safetensors");
        std::fs::remove_file(&weights).unwrap();
        symlink("model.safetensors", &weights).unwrap();
        assert!(sentence(import(folder.path(), &options()), folder.path()).starts_with("cannot read `DIR/model.safetensors`"));
        std::fs::remove_file(&weights).unwrap();
        symlink("/dev/zero", &weights).unwrap();
        assert!(sentence(import(folder.path(), &options()), folder.path()).contains("leads out of the folder"));
        assert!(
            sentence(import(Path::new("/dev/zero"), &options()), folder.path())
                .ends_with("which is not a regular file; only regular files are read")
        );
    }
}

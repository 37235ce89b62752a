//! Files of other formats, whatever they are called: named by their first bytes, with what to do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{copy, fixture, sentence};
use dmdx_importer::{ImportOptions, import, import_pipeline};

const TAKE: &str = "take its PyTorch version, or load it in Python and save it with `save_pretrained(folder, \
                    safe_serialization=True)`";
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:abababab\nsize 5135151440\n";

/// What importing a file of these bytes says, under the names of weights.
fn said(bytes: &[u8]) -> String {
    let folder = copy("zoo/clip_l");
    let safetensors = folder.path().join("model.safetensors");
    std::fs::write(&safetensors, bytes).unwrap();
    let text = sentence(import(folder.path(), &ImportOptions::default()), folder.path());
    let text = text.strip_prefix("`DIR/model.safetensors` ").unwrap_or_else(|| panic!("{text}"));
    // The same where only the name of a pickle file is there and pickle is allowed.
    std::fs::rename(&safetensors, folder.path().join("pytorch_model.bin")).unwrap();
    let options = ImportOptions { allow_pickle: true, ..ImportOptions::default() };
    let pickle = sentence(import(folder.path(), &options), folder.path());
    assert_eq!(pickle, format!("`DIR/pytorch_model.bin` {text}"));
    text.into()
}

fn padded(start: &[u8]) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.extend((0..2048u32).map(|i| (i * 7 + 3) as u8));
    bytes
}

/// A ZIP archive's first entry.
fn zip(name: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.extend([0; 22]);
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(name.as_bytes());
    padded(&bytes)
}

#[test]
fn downloads_that_failed() {
    assert_eq!(said(b""), "is empty: its download failed; download it again");
    assert_eq!(said(&[0; 4096]), "begins with 512 zero bytes: its download was not finished; download it again");
    assert_eq!(
        said(POINTER),
        "is a Git LFS pointer to 5135151440 bytes, not the file itself; run `git lfs pull` where it was cloned, or download \
         the file"
    );
    let page = "is a web page, as a site shows in place of a file that it does not give out; open its address, sign in or \
                accept the licence where it asks for that, and download the file again";
    for text in ["<!doctype html><html><body>Access to model is restricted</body></html>", "\u{feff}\n <HTML lang=\"de\">"] {
        assert_eq!(said(text.as_bytes()), page);
    }
    for text in ["Entry not found", "{\"error\":\"Repository not found\"}"] {
        assert_eq!(
            said(text.as_bytes()),
            format!("is text ({text:?}), such as a server's message in place of a file; download the file again")
        );
    }
}

/// A download that stopped in the header, and one that stopped behind it.
#[test]
fn downloads_cut_short() {
    let whole = std::fs::read(fixture("zoo/clip_l/model.safetensors")).unwrap();
    let folder = copy("zoo/clip_l");
    for length in [100, whole.len() - 1000] {
        std::fs::write(folder.path().join("model.safetensors"), &whole[..length]).unwrap();
        let text = sentence(import(folder.path(), &ImportOptions::default()), folder.path());
        assert!(text.starts_with("`DIR/model.safetensors` is not a usable safetensors file: it "), "{text}");
        assert!(text.ends_with("download it again"), "{text}");
    }
}

#[test]
fn formats_of_others() {
    let quantised = "whose blocks of quantised weights are not read; take the safetensors file that it was made from";
    let cases: [(Vec<u8>, String); 14] = [
        (padded(b"GGUF\x03\0\0\0"), format!("is a GGUF file, {quantised}")),
        (padded(b"tjgg\x01\0\0\0"), format!("is a GGML file, {quantised}")),
        (padded(b"\x08\x08\x12\x07pytorch\x1a\x05"), "is an ONNX model; give it a name that ends in .onnx".into()),
        (
            padded(b"\x89HDF\r\n\x1a\n\0"),
            format!("is an HDF5 file, as Keras and TensorFlow write (.h5), which is not read; {TAKE}"),
        ),
        (
            padded(b"\x08\x01\x12\xff\x7f"),
            format!("is a TensorFlow graph (SavedModel or frozen graph, .pb), which is not read; {TAKE}"),
        ),
        (
            padded(b"\x0a\x2e\x0a\x05input\x12\x0bPlaceholder*\x0b"),
            format!("is a TensorFlow graph (SavedModel or frozen graph, .pb), which is not read; {TAKE}"),
        ),
        (
            padded(b"\0\0\x06\x08\x01\x1a\x02\x08\x01\0"),
            format!("is a part of a TensorFlow checkpoint (.ckpt, .index), which is not read; {TAKE}"),
        ),
        (padded(b"\x1c\0\0\0TFL3"), format!("is a TensorFlow Lite model, which is not read; {TAKE}")),
        (padded(b"\x84\xa7conv_in\x82"), format!("is a MessagePack file, as Flax writes (.msgpack), which is not read; {TAKE}")),
        (
            padded(b"\x93NUMPY\x01\0"),
            "holds arrays of NumPy (.npy), which are not read; save them with safetensors.numpy.save_file".into(),
        ),
        (
            zip("weight.npy"),
            "holds arrays of NumPy (.npz), which are not read; save them with safetensors.numpy.save_file".into(),
        ),
        (
            zip("metadata.json"),
            "is a ZIP archive that begins with \"metadata.json\", not weights; unpack it and give what is in it".into(),
        ),
        (padded(b"\x1f\x8b\x08\0"), "is packed with gzip; unpack it and give what is in it".into()),
        (padded(b"\x89PNG\r\n\x1a\n"), "is a picture (PNG), not weights; give the file of the model".into()),
    ];
    for (bytes, expected) in cases {
        assert_eq!(said(&bytes), expected);
    }
}

/// Pointers stand for configurations and vocabularies too.
#[test]
fn pointers_in_place_of_small_files() {
    let folder = copy("digits-sdxl");
    for name in ["model_index.json", "unet/config.json", "tokenizer/vocab.json", "scheduler/scheduler_config.json"] {
        let path = folder.path().join(name);
        let kept = std::fs::read(&path).unwrap();
        std::fs::write(&path, POINTER).unwrap();
        let text = sentence(import_pipeline(folder.path(), &ImportOptions::default()), folder.path());
        assert!(text.starts_with(&format!("`DIR/{name}` is a Git LFS pointer to 5135151440 bytes")), "{text}");
        std::fs::write(&path, kept).unwrap();
    }
}

/// The contents decide, not the name.
#[test]
fn pickle_and_safetensors_under_each_others_names() {
    let folder = copy("zoo/clip_l");
    let (safetensors, pickle) = (folder.path().join("model.safetensors"), folder.path().join("pytorch_model.bin"));
    std::fs::copy(fixture("zoo/bin_clip_l/pytorch_model.bin"), &safetensors).unwrap();
    let text = sentence(import(folder.path(), &ImportOptions::default()), folder.path());
    assert!(text.starts_with("`DIR/model.safetensors` holds its weights as pickle, which can run any code"), "{text}");
    let options = ImportOptions { allow_pickle: true, ..ImportOptions::default() };
    assert_eq!(import(folder.path(), &options).unwrap().report.used, 52);
    // And the reverse: nothing of it has to be allowed.
    std::fs::copy(fixture("zoo/clip_l/model.safetensors"), &pickle).unwrap();
    let config = ImportOptions { config: Some(folder.path().into()), ..ImportOptions::default() };
    assert_eq!(import(&pickle, &config).unwrap().report.used, 52);
}

#[test]
fn folders_of_other_frameworks() {
    let folder = copy("zoo/clip_l");
    for name in ["model.safetensors", "io.safetensors"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    for name in ["flax_model.msgpack", "tf_model.h5"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    assert_eq!(
        sentence(import(folder.path(), &ImportOptions::default()), folder.path()),
        "`DIR` holds no safetensors weights; looked for diffusion_pytorch_model.safetensors, model.safetensors; \
         flax_model.msgpack, tf_model.h5 cannot be read, so take the safetensors files, or save the model again with \
         `save_pretrained(folder, safe_serialization=True)`"
    );
    // A folder that no library made, with files that can be given.
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    std::fs::copy(fixture("zoo/clip_l/model.safetensors"), folder.path().join("clip.safetensors")).unwrap();
    assert_eq!(
        sentence(import(folder.path(), &ImportOptions::default()), folder.path()),
        "`DIR` has neither a config.json nor a model_index.json; give one of the files in it (clip.safetensors, \
         flax_model.msgpack, tf_model.h5)"
    );
}

//! Every file of `fixtures/hostile` is refused with its sentence, or accepted where that is the right answer, and nothing
//! beyond the size of the files is allocated before the answer. `UPDATE_EXPECT=1` rewrites `expected.json`.
#![allow(clippy::unwrap_used)]

mod common;
mod counting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::fixture;
use dmdx_importer::hf::{config, safetensors, tensors, tokenizer};
use dmdx_importer::path::open_given;
use dmdx_importer::{FilePolicy, ImportError, ImportOptions, arch, onnx, pickle};

/// What may be allocated beside twice the size of the files: messages, small tables, buffers of the system.
const BASE: usize = 128 << 10;

/// Kinds that may take more before they refuse: the parts of a graph or a network are made one after another, and the
/// first part that does not fit ends it.
const BUILDS: [&str; 2] = ["graph", "config"];

/// What reading a case says: `ok` and what the user is told, or the error.
fn read(kind: &str, path: &Path) -> Result<String, ImportError> {
    let options = ImportOptions::default();
    match kind {
        "onnx" => {
            let graph = onnx::open(path, &options)?.to_graph()?;
            graph.verify()?;
            Ok(format!("ok: {} operations", graph.order().len()))
        }
        "safetensors" => {
            let file = safetensors::read(&open_given(path)?, &options.limits)?;
            Ok(format!("ok: {} tensors", file.tensors.len()))
        }
        "index" => Ok(format!("ok: {} tensors", tensors::open(path, &options)?.weights.len())),
        "config" => {
            let name = path.file_name().unwrap().to_str().unwrap();
            let json = config::read(path.parent().unwrap(), name, &options.limits, &options.files)?;
            let network = arch::build(&json.value)?;
            Ok(format!("ok: {}", network.warnings.join("; ")))
        }
        "tokenizer" => Ok(format!("ok: {} files", tokenizer::read(path, &options.limits, &FilePolicy::default())?.len())),
        "graph" => {
            let graph = dmdx_graph::text::parse(&String::from_utf8(std::fs::read(path).unwrap()).unwrap())?;
            Ok(format!("ok: {} operations", graph.order().len()))
        }
        "pickle" => Ok(format!("ok: {} tensors", pickle::read(&open_given(path)?, &options.limits)?.tensors.len())),
        other => panic!("`{other}` is no kind of hostile file"),
    }
}

/// Every case by name: files, or folders where the case is a folder.
fn cases(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut cases = BTreeMap::new();
    for kind in ["onnx", "safetensors", "index", "config", "tokenizer", "graph", "pickle"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_string();
            // Data that models name.
            if kind != "onnx" || path.extension().is_some_and(|extension| extension == "onnx") {
                cases.insert(format!("{kind}/{stem}"), path);
            }
        }
    }
    cases
}

fn size(path: &Path) -> usize {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| size(&entry.unwrap().path())).sum(),
        Err(_) => std::fs::metadata(path).unwrap().len() as usize,
    }
}

/// The expected sentences, and the allocations: one test, because the counter counts everything in the process.
#[test]
fn every_hostile_file_gets_its_sentence() {
    let folder = fixture("hostile");
    let place = folder.canonicalize().unwrap().display().to_string();
    let mut found = BTreeMap::new();
    let mut greedy = Vec::new();
    let options = ImportOptions::default().limits;
    for (name, path) in cases(&folder) {
        let kind = name.split('/').next().unwrap();
        let (answer, peak) = counting::peak(|| read(kind, &path));
        let answer = answer.unwrap_or_else(|error| error.to_string());
        let answer = answer.replace(&place, "DIR").replace(&folder.display().to_string(), "DIR");
        // The list of classes grows with the project.
        let answer = answer.split("; known are ").next().unwrap().to_string();
        assert!(!answer.contains('\n'), "{name}: {answer}");
        // Folded constants have a limit of their own, which these cases reach.
        let own = if name.starts_with("onnx/fold_") { options.folded_bytes as usize } else { 0 };
        let allowed = 2 * size(&path) + BASE + own;
        if peak > allowed && !answer.starts_with("ok") && !BUILDS.contains(&kind) {
            greedy.push(format!("{name}: {peak} bytes of {allowed}"));
        }
        found.insert(name, answer);
    }
    let list = folder.join("expected.json");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&list, format!("{:#}\n", serde_json::json!(found))).unwrap();
    }
    let expected: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(&list).unwrap()).unwrap();
    for (name, answer) in &found {
        assert_eq!(Some(answer), expected.get(name), "{name}");
    }
    assert_eq!(found.len(), expected.len(), "expected.json names files that are not there");
    assert_eq!(greedy, Vec::<String>::new());
}

fn refusal(model: &Path) -> String {
    let folder = model.parent().unwrap();
    common::sentence(onnx::open(model, &ImportOptions::default()), folder)
}

/// Links cannot be kept in a repository as they have to be, so they are made here.
#[cfg(unix)]
#[test]
fn links_of_external_data_do_not_lead_outside() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    let data = outside.path().join("weights.bin");
    std::fs::copy(fixture("hostile/onnx/weights.bin"), &data).unwrap();
    let model = |folder: &Path| {
        let path = folder.join("model.onnx");
        std::fs::copy(fixture("hostile/onnx/sound_external.onnx"), &path).unwrap();
        path
    };

    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    symlink(&data, folder.path().join("weights.bin")).unwrap();
    insta::assert_snapshot!(refusal(&path), @r#"`DIR/model.onnx` is not a usable ONNX model: the initializer `w` names the data file "weights.bin", which leads out of the folder through a link; give the folder that it may lead to with --root"#);
    // The Hugging Face cache: links are fine below a root that the user names.
    let files = FilePolicy { roots: vec![outside.path().into()], ..FilePolicy::default() };
    let trusted = ImportOptions { files, ..ImportOptions::default() };
    onnx::open(&path, &trusted).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    std::fs::hard_link(&data, folder.path().join("weights.bin")).unwrap();
    insta::assert_snapshot!(refusal(&path), @r#"`DIR/model.onnx` is not a usable ONNX model: the initializer `w` names the data file "weights.bin", which has several hard links, so it may be a file from elsewhere; copy it, or give --allow-hard-links"#);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let text = std::fs::read(fixture("hostile/onnx/location_missing_file.onnx")).unwrap();
    std::fs::write(&path, replaced(&text, b"nowhere.bin", b"d/weigh.bin")).unwrap();
    symlink(outside.path(), folder.path().join("d")).unwrap();
    std::fs::copy(&data, outside.path().join("weigh.bin")).unwrap();
    insta::assert_snapshot!(refusal(&path), @r#"`DIR/model.onnx` is not a usable ONNX model: the initializer `w` names the data file "d/weigh.bin", which leads out of the folder through a link; give the folder that it may lead to with --root"#);

    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    symlink("/dev/zero", folder.path().join("weights.bin")).unwrap();
    insta::assert_snapshot!(refusal(&path), @r#"`DIR/model.onnx` is not a usable ONNX model: the initializer `w` names the data file "weights.bin", which leads out of the folder through a link; give the folder that it may lead to with --root"#);
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// Files above their limit are made here: they would only be large.
#[test]
fn files_above_their_limits_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, length: u64| std::fs::File::create(folder.path().join(name)).unwrap().set_len(length).unwrap();
    write("config.json", (1 << 20) + 1);
    let options = ImportOptions::default();
    let read = |name: &str| {
        let (answer, peak) = counting::peak(|| config::read(folder.path(), name, &options.limits, &options.files));
        assert!(peak < BASE, "{peak}");
        common::sentence(answer, folder.path())
    };
    insta::assert_snapshot!(read("config.json"), @"`DIR/config.json`: the size in bytes is 1048577, the limit is 1048576; raise `Limits::config_bytes` if you trust the file");
    write("model.onnx", (2 << 30) + 1);
    insta::assert_snapshot!(refusal(&folder.path().join("model.onnx")), @"`DIR/model.onnx`: the size in bytes is 2147483649, the limit is 2147483647; raise `Limits::model_bytes` if you trust the file");
    write("vocab.json", (64 << 20) + 1);
    write("merges.txt", 1);
    insta::assert_snapshot!(common::sentence(tokenizer::read(folder.path(), &options.limits, &options.files), folder.path()), @"`DIR/vocab.json`: the size in bytes is 67108865, the limit is 67108864; raise `Limits::tokenizer_bytes` if you trust the file");
    let file = std::fs::File::create(folder.path().join("x.safetensors")).unwrap();
    std::io::Write::write_all(&mut &file, &100_000_001u64.to_le_bytes()).unwrap();
    file.set_len(100_000_100).unwrap();
    let open = open_given(&folder.path().join("x.safetensors")).unwrap();
    let (answer, peak) = counting::peak(|| safetensors::read(&open, &options.limits));
    assert!(peak < BASE, "{peak}");
    insta::assert_snapshot!(common::sentence(answer, folder.path()), @"`DIR/x.safetensors`: the header's size in bytes is 100000001, the limit is 100000000; raise `Limits::header_bytes` if you trust the file");
}

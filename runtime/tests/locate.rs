//! A wrong libonnxruntime is refused before it is loaded, with one sentence.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use dmdx_runtime::engine::locate::{Place, locate_in, vet};

fn refusal(path: &Path) -> String {
    let error = vet(path, Place::Flag).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let text = error.chain();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in ["--onnxruntime", "ORT_DYLIB_PATH", "beside the executable", "pip download --no-deps onnxruntime==1.31.1"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    text
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libonnxruntime.so");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// A shared library of this machine that is not ONNX Runtime: the C library that this test itself uses.
#[cfg(target_os = "linux")]
fn other_library() -> Vec<u8> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libc.so")).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn missing_folder_empty_and_text() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refusal(&folder.path().join("absent.so")).contains("cannot be opened"));
    assert!(refusal(folder.path()).contains("not a regular file"));
    for bytes in [&b""[..], b"hello", b"\x7fELF", b"#!/bin/sh\n"] {
        let (_folder, path) = file(bytes);
        assert!(refusal(&path).contains("not a shared library"));
    }
}

#[cfg(unix)]
#[test]
fn a_device_and_a_pipe_do_not_hang() {
    assert!(refusal(Path::new("/dev/zero")).contains("not a regular file"));
}

#[cfg(target_os = "linux")]
#[test]
fn another_library_another_machine_and_a_torn_file() {
    let bytes = other_library();
    let (_folder, path) = file(&bytes);
    assert!(refusal(&path).contains("does not export OrtGetApiBase"));
    // e_machine, the 16 bits at offset 18 of an ELF header: 22 is IBM S/390.
    let mut foreign = bytes.clone();
    foreign[18..20].copy_from_slice(&22u16.to_le_bytes());
    let (_folder, path) = file(&foreign);
    assert!(refusal(&path).contains("not for this machine"));
    let (_folder, path) = file(&bytes[..bytes.len() / 3]);
    refusal(&path);
    let (_folder, path) = file(&fs::read(std::env::current_exe().unwrap()).unwrap());
    refusal(&path);
}

#[test]
fn the_places_are_tried_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let program = Some(folder.path().join("program"));
    let nowhere = locate_in(None, None, program.clone()).unwrap_err().chain();
    assert!(nowhere.contains("was not found") && nowhere.contains("--onnxruntime was not given"), "{nowhere}");
    let empty = locate_in(None, Some("".into()), program.clone()).unwrap_err().chain();
    assert_eq!(empty, nowhere, "an empty variable is an unset one");
    fs::write(folder.path().join("libonnxruntime.so.1.9.0"), "x").unwrap();
    fs::write(folder.path().join("libonnxruntime.so.1.31.1"), "x").unwrap();
    if cfg!(target_os = "linux") {
        let beside = locate_in(None, None, program.clone()).unwrap_err().chain();
        assert!(beside.contains("libonnxruntime.so.1.31.1, named by the executable's folder"), "{beside}");
    }
    let variable = locate_in(None, Some("/absent/a.so".into()), program.clone()).unwrap_err().chain();
    assert!(variable.contains("/absent/a.so, named by ORT_DYLIB_PATH"), "{variable}");
    let flag = locate_in(Some(Path::new("/absent/b.so")), Some("/absent/a.so".into()), program).unwrap_err().chain();
    assert!(flag.contains("/absent/b.so, named by --onnxruntime"), "{flag}");
}

#[test]
fn the_real_library_passes_and_an_old_version_does_not() {
    let Some(path) = std::env::var_os("ORT_DYLIB_PATH") else {
        eprintln!("SKIPPED: ORT_DYLIB_PATH is not set; tests/run sets it");
        return;
    };
    let library = locate_in(None, Some(path.clone()), None).unwrap();
    assert_eq!((library.version(), library.place()), ("1.31.1", Place::Environment));
    // The same library with its version rewritten in the symbol table.
    let mut bytes = fs::read(path).unwrap();
    let mark = b"VERS_1.31.1";
    let at = bytes.windows(mark.len()).position(|window| window == mark).unwrap();
    bytes[at + 7..at + 9].copy_from_slice(b"19");
    let (_folder, path) = file(&bytes);
    assert!(refusal(&path).contains("version 1.19.1, older than 1.24"));
}

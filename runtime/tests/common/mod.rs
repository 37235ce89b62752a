//! What the tests of this crate share.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_runtime::engine::locate::locate;
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::{Engine, Tensor};
use safetensors::{Dtype, SafeTensors};

/// A file or folder of `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// Every f32 and f64 tensor of a safetensors file, as f32 and as f64.
pub fn tensors(path: &Path) -> BTreeMap<String, (Tensor, Vec<f64>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, safetensors::tensor::TensorView)| {
        let values: Vec<f64> = match view.dtype() {
            Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|w| f64::from(f32::from_le_bytes(*w))).collect(),
            Dtype::F64 => view.data().as_chunks::<8>().0.iter().map(|w| f64::from_le_bytes(*w)).collect(),
            other => panic!("{name} is {other:?}"),
        };
        let tensor = Tensor::f32(view.shape(), values.iter().map(|&v| v as f32).collect()).unwrap();
        (name, (tensor, values))
    };
    file.tensors().into_iter().map(read).collect()
}

/// tract, and ONNX Runtime where ORT_DYLIB_PATH names it; says so where it does not.
pub fn engines() -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(TractEngine::new(2))];
    engines.extend(onnxruntime());
    engines
}

/// ONNX Runtime where ORT_DYLIB_PATH names it.
pub fn onnxruntime() -> Option<Box<dyn Engine>> {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        eprintln!("SKIPPED the ONNX Runtime half: ORT_DYLIB_PATH is not set; tests/run sets it");
        return None;
    }
    Some(Box::new(OrtEngine::new(&locate(None).unwrap(), 1).unwrap()))
}

/// The largest absolute difference.
pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let pairs = a.floats().unwrap().iter().zip(b.floats().unwrap());
    pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

/// The largest absolute value.
pub fn largest(a: &Tensor) -> f64 {
    a.floats().unwrap().iter().map(|a| f64::from(a.abs())).fold(0.0, f64::max)
}

/// A writable copy of the tiny bundle.
pub fn copy_of_bundle() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&fixture("tiny-bundle/bundle"), copy.path());
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

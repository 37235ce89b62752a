//! ONNX models become graphs that compute what the models compute.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::fixture;
use dmdx_graph::interp::{self, Tensor};
use dmdx_graph::{Weight, text};
use dmdx_importer::graph_file::WriteOptions;
use dmdx_importer::hf::safetensors;
use dmdx_importer::path::open_given;
use dmdx_importer::{ImportOptions, convert, import, onnx};

/// torch's own export and torch's own answers: 32-bit arithmetic against 64-bit.
#[test]
fn the_digits_classifier_computes_what_torch_computes() {
    let model = onnx::open(&fixture("digits-classifier/model.onnx"), &ImportOptions::default()).unwrap();
    assert_eq!((model.opset, model.ir_version, model.producer.as_str()), (18, 10, "pytorch"));
    let graph = model.to_graph().unwrap();
    let io = tensors("digits-classifier/io.safetensors");
    let inputs = BTreeMap::from([("image".to_string(), Tensor::from_weight(&io["image"]).unwrap())]);
    let run = interp::run(&graph, &inputs).unwrap();
    for name in ["features", "digit", "colour"] {
        agrees(name, &run.outputs[name], &io[name], 1e-4);
    }
}

/// The export of a CLIP text encoder by torch's newest exporter, with the weights and answers of the zoo's case: causal
/// mask, attention by single operations, the end of a text found by its id.
#[test]
fn an_exported_text_encoder_computes_what_transformers_computes() {
    let graph = onnx::open(&fixture("onnx/clip_l.dynamo.onnx"), &ImportOptions::default()).unwrap().to_graph().unwrap();
    let io = tensors("zoo/clip_l/io.safetensors");
    let inputs = BTreeMap::from([("input_ids".to_string(), Tensor::from_weight(&io["in.input_ids"]).unwrap())]);
    let run = interp::run(&graph, &inputs).unwrap();
    for (name, found) in &run.outputs {
        agrees(name, found, &io[&name.replacen("out_", "out.", 1)], 1e-5);
    }
    assert_eq!(run.outputs.len(), 3);
}

/// ONNX Runtime's own answer, in 32 bits.
#[test]
fn branches_whose_condition_is_known_are_taken() {
    let graph = onnx::open(&fixture("onnx/branches.onnx"), &ImportOptions::default()).unwrap().to_graph().unwrap();
    let io = tensors("onnx/branches.safetensors");
    let inputs = BTreeMap::from([("x".to_string(), Tensor::from_weight(&io["in.x"]).unwrap())]);
    agrees("y", &interp::run(&graph, &inputs).unwrap().outputs["y"], &io["out.y"], 1e-6);
}

/// The same file with a few bytes changed.
#[test]
fn branches_that_cannot_be_taken_are_refused() {
    let bytes = std::fs::read(fixture("onnx/branches.onnx")).unwrap();
    let cases: [(&[u8], &[u8], &str); 5] = [
        // The size that decides is the batch's.
        (b"oneJ\x08\x01", b"oneJ\x08\x00", "ai.onnx.Equal (1 node): Equal of sizes that are known only when the network runs"),
        (b"x\n\x05inner", b"x\n\x05outer", "ai.onnx.If (1 node): its branch reads `outer`, which nothing before computes"),
        (b"b\x12\x01s", b"b\x12\x01a", "ai.onnx.If (1 node): its branch defines `a` once more"),
        (b"then_branch", b"then_brunch", "ai.onnx.If (3 nodes): its attribute `then_brunch` is not known"),
        (b"\x10\x01B\x05inner", b"\x10\x63B\x05inner", "the initializer `inner` has the element type 99"),
    ];
    for (from, to, reason) in cases {
        let mut changed = bytes.clone();
        let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
        assert!(!places.is_empty(), "{reason}");
        places.iter().for_each(|&at| changed[at..at + to.len()].copy_from_slice(to));
        let model = onnx::from_bytes("branches.onnx".as_ref(), changed, &ImportOptions::default());
        let error = model.and_then(|model| model.to_graph()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}\n{reason}");
    }
}

/// The command line's road: a model file is a component with one part, and converts to a file that holds it.
#[test]
fn models_are_components() {
    let folder = tempfile::tempdir().unwrap();
    let component = import(&fixture("digits-classifier/model.onnx"), &ImportOptions::default()).unwrap();
    assert_eq!((component.class.as_str(), component.report.unused.len()), ("OnnxModel", 0));
    let path = folder.path().join("digits.safetensors");
    convert(&fixture("digits-classifier/model.onnx"), &path, &ImportOptions::default(), WriteOptions::default()).unwrap();
    let again = import(&path, &ImportOptions::default()).unwrap();
    assert_eq!(text::print(&again.parts["model"]), text::print(&component.parts["model"]));
}

fn tensors(name: &str) -> BTreeMap<String, Weight> {
    safetensors::read(&open_given(&fixture(name)).unwrap(), &ImportOptions::default().limits).unwrap().tensors
}

fn agrees(name: &str, found: &Tensor, expected: &Weight, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape(), "{name}");
    let errors = found.to_f64().into_iter().zip(expected.to_f64()).map(|(a, b)| (a - b).abs());
    let worst = errors.fold(0.0, f64::max);
    assert!(worst < tolerance, "{name}: {worst}");
}

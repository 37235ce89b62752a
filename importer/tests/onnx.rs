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

#![no_main]

use std::path::Path;

use dmdx_fuzz::sound;
use dmdx_importer::{ImportOptions, onnx};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(model) = sound(onnx::from_bytes(Path::new("x.onnx"), bytes.to_vec(), &ImportOptions::default())) else { return };
    if let Some(graph) = sound(model.to_graph()) {
        graph.verify().expect("a graph that was converted verifies");
    }
});

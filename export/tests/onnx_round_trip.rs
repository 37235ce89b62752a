//! What this crate writes, the importer reads: the graph of an exported model computes what the graph before computed.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use dmdx_export::{GraphOptions, export_graph};
use dmdx_graph::interp::{self, Tensor};
use dmdx_graph::{DType, Op};
use dmdx_importer::{ImportOptions, onnx};
use support::op_cases;

/// Constants are rounded to 32 bits on the way, the interpreter works with 64: as much as one rounding moves a result.
const TOLERANCE: f64 = 1e-5;

/// The angles of a timestep embedding are defined in 32 bits and are up to 1000; single operations have 64.
const TIME_TOLERANCE: f64 = 5e-5;

#[test]
fn every_exported_operation_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    let mut worst = 0.0f64;
    for case in op_cases() {
        if matches!(case.op, Op::Cast { dtype: DType::F16 | DType::BF16 }) {
            continue;
        }
        let path = folder.path().join(format!("{}.onnx", case.name));
        export_graph(&case.graph, &path, &GraphOptions::default()).unwrap();
        let graph = match onnx::open(&path, &ImportOptions::default()).and_then(|model| model.to_graph()) {
            Ok(graph) => graph,
            Err(error) => {
                failures.push(format!("{}: {error}", case.name));
                continue;
            }
        };
        let inputs: BTreeMap<String, Tensor> = case.inputs.clone();
        let (before, after) = match (interp::run(&case.graph, &inputs), interp::run(&graph, &inputs)) {
            (Ok(before), Ok(after)) => (before, after),
            (_, Err(error)) | (Err(error), _) => {
                failures.push(format!("{}: {error}", case.name));
                continue;
            }
        };
        let (before, after) = (&before.outputs["y"], &after.outputs["y"]);
        let (expected, found) = (before.to_f64(), after.to_f64());
        let largest = expected.iter().fold(1.0f64, |most, value| most.max(value.abs()));
        let error = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
        worst = worst.max(error);
        let tolerance = if matches!(case.op, Op::TimestepEmbed { .. }) { TIME_TOLERANCE } else { TOLERANCE };
        if before.shape() != after.shape() || error.is_nan() || error > tolerance {
            failures.push(format!("{}: {:?} became {:?}, error {error:.1e}", case.name, before.shape(), after.shape()));
        }
    }
    println!("largest relative error {worst:.1e}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

//! What the tests of this crate share.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use dmdx_export::Verifier;
use dmdx_graph::ir::Op;
use dmdx_graph::{DType, Graph, Shape, Type, Weight, interp};
use serde_json::Value;

/// A folder of `fixtures/`.
pub fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// tract, and ONNX Runtime where `ORT_DYLIB_PATH` names it; says so when it does not.
pub fn verifier() -> Verifier {
    let verifier = Verifier::new(None, 1).unwrap();
    if let Some(reason) = verifier.missing() {
        eprintln!("SKIPPED: ONNX Runtime does not take part ({reason})");
    }
    verifier
}

/// One operation with operands and the result of a reference library.
pub struct OpCase {
    pub name: String,
    pub op: Op,
    pub graph: Graph,
    pub inputs: std::collections::BTreeMap<String, interp::Tensor>,
    pub expected: interp::Tensor,
    pub tolerance: f64,
}

/// Every case of `fixtures/ops`.
pub fn op_cases() -> Vec<OpCase> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(fixtures("ops")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let family = file.file_stem().unwrap().to_string_lossy().into_owned();
        let list: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        cases.extend(list.iter().map(|case| op_case(&family, case)));
    }
    cases
}

fn op_case(family: &str, case: &Value) -> OpCase {
    let op: Op = serde_json::from_value(case["op"].clone()).unwrap();
    let name = format!("{family}.{}", case["name"].as_str().unwrap());
    let mut graph = Graph::new("case");
    let (mut ids, mut inputs) = (Vec::new(), std::collections::BTreeMap::new());
    for (i, operand) in case["inputs"].as_array().unwrap().iter().enumerate() {
        let (tensor, shape) = tensor(operand);
        let port = format!("{}{i}", if operand["param"] == true { "w" } else { "x" });
        if operand["param"] == true {
            let weight = Weight::from_f32(&tensor.to_f32(), shape.clone()).unwrap();
            ids.push(graph.param(&port, &shape, Some(weight)).unwrap());
        } else {
            let dtype = if tensor.is_float() { DType::F32 } else { DType::I64 };
            ids.push(graph.input(&port, Type { dtype, shape: Shape::known(&shape) }).unwrap());
            inputs.insert(port, tensor);
        }
    }
    let result = graph.push(op.clone(), &ids, "case").unwrap();
    graph.output("y", result).unwrap();
    let (expected, _) = tensor(&case["expected"]);
    OpCase { name, op, graph, inputs, expected, tolerance: case["tolerance"].as_f64().unwrap_or(1e-5) }
}

fn tensor(value: &Value) -> (interp::Tensor, Vec<usize>) {
    let shape: Vec<usize> = value["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
    let data = value["data"].as_array().unwrap();
    let tensor = if value["dtype"] == "i64" {
        interp::Tensor::from_i64(data.iter().map(|v| v.as_i64().unwrap()).collect(), &shape)
    } else {
        interp::Tensor::from_f32(&data.iter().map(|v| v.as_f64().unwrap() as f32).collect::<Vec<_>>(), &shape)
    };
    (tensor.unwrap(), shape)
}

/// Deterministic weights around zero.
pub fn weight(seed: u64, shape: &[usize]) -> Weight {
    let count: usize = shape.iter().product();
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    let values: Vec<f32> = (0..count).map(|_| next()).collect();
    Weight::from_f32(&values, shape.to_vec()).unwrap()
}

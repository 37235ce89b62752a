//! The one-operation matrix of `fixtures/ops`: what numpy, torch, diffusers and transformers compute. Every engine (the
//! interpreter, Burn, ONNX Runtime, tract) is run on the same cases.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::interp::Tensor;
use dmdx_graph::{DType, Graph, Op, Shape, Type, Weight};
use serde_json::Value;

/// One operation with concrete operands and the reference's result.
#[derive(Clone, Debug)]
pub struct OpCase {
    /// `file/case`, unique.
    pub name: String,
    /// The operation.
    pub op: Op,
    /// Its operands in order.
    pub inputs: Vec<CaseInput>,
    /// What the reference library computes.
    pub expected: Tensor,
    /// Largest allowed difference, relative to the largest expected element, for an engine in f32.
    pub tolerance: f64,
}

/// One operand.
#[derive(Clone, Debug)]
pub struct CaseInput {
    /// Whether a network would store it as a parameter.
    pub is_param: bool,
    /// The values.
    pub tensor: Tensor,
}

/// Reads every case, in the order of file names and of each file.
///
/// # Errors
/// When a file cannot be read or is malformed; the text names file and case.
pub fn load() -> Result<Vec<OpCase>, String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/ops"));
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let list: Vec<Value> = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        for entry in list {
            let name = format!("{stem}/{}", entry["name"].as_str().unwrap_or("?"));
            cases.push(case(&entry, name.clone()).map_err(|reason| format!("{name}: {reason}"))?);
        }
    }
    Ok(cases)
}

fn case(entry: &Value, name: String) -> Result<OpCase, String> {
    let op = serde_json::from_value(entry["op"].clone()).map_err(|error| error.to_string())?;
    let operands = entry["inputs"].as_array().ok_or("it has no inputs")?;
    let inputs = operands
        .iter()
        .map(|operand| Ok(CaseInput { is_param: operand["param"].as_bool().unwrap_or(false), tensor: tensor(operand)? }))
        .collect::<Result<_, String>>()?;
    let tolerance = entry["tolerance"].as_f64().ok_or("it has no tolerance")?;
    Ok(OpCase { name, op, inputs, expected: tensor(&entry["expected"])?, tolerance })
}

fn tensor(value: &Value) -> Result<Tensor, String> {
    let list = |key: &str| value[key].as_array().ok_or_else(|| format!("a tensor has no {key}"));
    let shape: Option<Vec<usize>> = list("shape")?.iter().map(|size| size.as_u64().map(|size| size as usize)).collect();
    let shape = shape.ok_or("a size is not a whole number")?;
    let data = list("data")?;
    match value["dtype"].as_str() {
        Some("f32") => {
            // The file's nine digits name one f32.
            let values: Option<Vec<f32>> = data.iter().map(|v| v.as_f64().map(|v| v as f32)).collect();
            Tensor::from_f32(&values.ok_or("an element is not a number")?, &shape).map_err(|error| error.to_string())
        }
        Some("i64") => {
            let values: Option<Vec<i64>> = data.iter().map(Value::as_i64).collect();
            Tensor::from_i64(values.ok_or("an element is not a whole number")?, &shape).map_err(|error| error.to_string())
        }
        other => Err(format!("element type {other:?} is not known")),
    }
}

impl OpCase {
    /// A graph with this operation alone: operands are inputs `input0`, `input1`, … or parameters of those names with
    /// weights, the result is the output `y`.
    ///
    /// # Errors
    /// When the operation refuses its operands, which is a defect of the case.
    pub fn graph(&self) -> Result<Graph, String> {
        let mut graph = Graph::new(&self.name);
        let mut ids = Vec::new();
        for (i, input) in self.inputs.iter().enumerate() {
            let name = format!("input{i}");
            let shape = input.tensor.shape();
            let dtype = if input.tensor.is_float() { DType::F32 } else { DType::I64 };
            let id = if input.is_param && dtype == DType::F32 {
                let weight = Weight::from_f32(&input.tensor.to_f32(), shape.to_vec()).map_err(|error| error.to_string())?;
                graph.param(&name, shape, Some(weight))
            } else {
                graph.input(&name, Type { dtype, shape: Shape::known(shape) })
            };
            ids.push(id.map_err(|error| error.to_string())?);
        }
        let y = graph.push(self.op.clone(), &ids, &self.name).map_err(|error| error.to_string())?;
        graph.output("y", y).map_err(|error| error.to_string())?;
        Ok(graph)
    }

    /// The values of the graph's inputs.
    pub fn graph_inputs(&self) -> BTreeMap<String, Tensor> {
        let operands = self.inputs.iter().enumerate();
        let inputs = operands.filter(|(_, input)| !(input.is_param && input.tensor.is_float()));
        inputs.map(|(i, input)| (format!("input{i}"), input.tensor.clone())).collect()
    }

    /// Largest difference from the expected result, relative to its largest element; infinite when shapes differ or only
    /// one of the two is not a number.
    pub fn difference(&self, result: &Tensor) -> f64 {
        if result.shape() != self.expected.shape() {
            return f64::INFINITY;
        }
        let (result, expected) = (result.to_f64(), self.expected.to_f64());
        let largest = expected.iter().fold(0.0f64, |largest, v| largest.max(v.abs())).max(f64::MIN_POSITIVE);
        let differences = result.iter().zip(&expected).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() / largest });
        differences.fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) })
    }
}

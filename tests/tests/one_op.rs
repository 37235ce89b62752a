//! Every operation alone, by Burn, against the interpreter and against what the reference libraries computed. The same
//! cases hold the interpreter (`graph/tests`), tract and ONNX Runtime (`export/tests`) to the same references, so all
//! four agree. Tolerance: 1e-5 of the largest element (f32 against f64), unless the case says why not.
#![allow(missing_docs, clippy::unwrap_used)]

use burn::tensor::Device;
use dmdx_graph::interp::{self, Tensor};
use dmdx_tests::op_cases::load;
use dmdx_train::module::{GraphModule, Value};

fn value(tensor: &Tensor, device: &Device) -> Value {
    match tensor {
        Tensor::Float(_) => Value::float(tensor.to_f32(), tensor.shape(), device),
        Tensor::Int(values) => Value::int(values.iter().copied().collect(), tensor.shape(), device),
    }
    .unwrap()
}

#[test]
fn burn_agrees_with_the_interpreter_and_the_references() {
    let device = Device::flex();
    let mut wrong = Vec::new();
    let cases = load().unwrap();
    assert!(cases.len() > 100);
    for case in &cases {
        let graph = case.graph().unwrap();
        let inputs = case.graph_inputs();
        let reference = &interp::run(&graph, &inputs).unwrap().outputs["y"];
        let module = GraphModule::new(&graph, &device, false).unwrap();
        let values: Vec<(&str, Value)> = inputs.iter().map(|(name, tensor)| (name.as_str(), value(tensor, &device))).collect();
        let y = module.output(&values, "y").unwrap();
        let shape = y.shape();
        let result = if case.expected.is_float() {
            Tensor::from_f32(&y.to_f32().unwrap(), &shape).unwrap()
        } else {
            Tensor::from_i64(y.to_i64().unwrap(), &shape).unwrap()
        };
        let largest = reference.to_f64().iter().fold(0.0f64, |a, b| a.max(b.abs())).max(f64::MIN_POSITIVE);
        let apart =
            reference.to_f64().iter().zip(result.to_f64().iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
        if shape != reference.shape() || case.difference(&result) > case.tolerance || apart > case.tolerance {
            wrong.push(format!(
                "{}: {apart:.1e} from the interpreter, {:.1e} from the reference",
                case.name,
                case.difference(&result)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Every operation alone, by Burn, against the interpreter and against what the reference libraries computed, and its
//! gradients against differences of the interpreter's results. The same cases hold the interpreter (`graph/tests`), tract
//! and ONNX Runtime (`export/tests`) to the same references, so all four agree. Tolerance: 1e-5 of the largest element
//! (f32 against f64), unless the case says why not; ten times that for gradients.
#![allow(missing_docs, clippy::unwrap_used)]

use burn::tensor::Device;
use dmdx_graph::interp::{self, Tensor};
use dmdx_graph::{DType, Op};
use dmdx_tests::op_cases::{OpCase, load};
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

/// What turns a result into one number whose gradient depends on every element.
fn factors(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 2_654_435_761 % 1024) as f32 - 511.5) / 512.0).collect()
}

/// The slope of the interpreter's weighted sum along one element of an operand; nothing at a kink.
fn slope(case: &OpCase, operand: usize, element: usize, step: f64) -> Option<f64> {
    let at = |change: f64| {
        let mut moved = case.clone();
        let Tensor::Float(values) = &mut moved.inputs[operand].tensor else { return 0.0 };
        *values.iter_mut().nth(element).unwrap() += change;
        let y = &interp::run(&moved.graph().unwrap(), &moved.graph_inputs()).unwrap().outputs["y"];
        y.to_f64().iter().zip(factors(y.to_f64().len())).map(|(y, factor)| y * f64::from(factor)).sum::<f64>()
    };
    let (below, here, above) = (at(-step), at(0.0), at(step));
    let (left, right) = ((here - below) / step, (above - here) / step);
    let smooth = (left - right).abs() <= 0.05 * left.abs().max(right.abs()).max(1e-3);
    smooth.then_some((left + right) / 2.0)
}

#[test]
fn gradients_agree_with_differences_of_the_interpreter() {
    let device = Device::flex();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for mut case in load().unwrap() {
        // Integers have no gradients, rounding has none that differences could see, and times are rounded inside.
        if !case.expected.is_float() || matches!(case.op, Op::TimestepEmbed { .. } | Op::Cast { dtype: DType::F16 | DType::BF16 })
        {
            continue;
        }
        // An operand is moved by less than f32 can tell, so none may be rounded on its way into a weight.
        case.inputs.iter_mut().for_each(|input| input.is_param = false);
        let module = GraphModule::new(&case.graph().unwrap(), &device, false).unwrap();
        let inputs = case.graph_inputs();
        let leaves: Vec<(String, Value)> = inputs.iter().map(|(name, t)| (name.clone(), value(t, &device).leaf())).collect();
        let given: Vec<(&str, Value)> = leaves.iter().map(|(name, leaf)| (name.as_str(), leaf.clone())).collect();
        let y = module.output(&given, "y").unwrap();
        let y = y.reshape(&[y.elements()]).unwrap();
        let weights = Value::float(factors(y.elements()), &y.shape(), &device).unwrap();
        let mut gradients = y.times(&weights).sum().backward();
        for (operand, input) in case.inputs.iter().enumerate().filter(|(_, input)| input.tensor.is_float()) {
            let leaf = &leaves.iter().find(|(name, _)| *name == format!("input{operand}")).unwrap().1;
            let Some(gradient) = gradients.take(leaf) else {
                wrong.push(format!("{}: operand {operand} has no gradient", case.name));
                continue;
            };
            let (gradient, values) = (gradient.to_f32().unwrap(), input.tensor.to_f64());
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let spread = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt();
            let step = (1e-4 * spread).max(1e-7);
            let every = values.len().div_ceil(16);
            let slopes = (0..values.len()).step_by(every).map(|element| (element, slope(&case, operand, element, step)));
            let slopes: Vec<(usize, f64)> = slopes.filter_map(|(element, slope)| Some((element, slope?))).collect();
            let largest = slopes.iter().fold(0.0f64, |most, (_, slope)| most.max(slope.abs())).max(1e-3);
            let apart =
                slopes.iter().fold(0.0f64, |most, (i, slope)| most.max((f64::from(gradient[*i]) - slope).abs())) / largest;
            compared += slopes.len();
            if apart.is_nan() || apart > 10.0 * case.tolerance {
                wrong.push(format!("{}: the gradient of operand {operand} is {apart:.1e} of its largest away", case.name));
            }
        }
    }
    println!("{compared} slopes");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 2000);
}

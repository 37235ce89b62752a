//! `dmdx-train check`: a network on Burn against a file of reference inputs, outputs, activations and gradients.

use std::path::Path;

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_importer::check::{self as reference_check, Kind, Report, Row};
use dmdx_importer::reference::{RefTensor, RefValues, ReferenceFile};
use dmdx_importer::{ImportOptions, import};
use indexmap::IndexMap;

use crate::error::TrainError;
use crate::module::{GraphModule, ParameterGradients, Value};

/// Gradients pass within this share of the reference's largest entry.
pub const GRADIENT_TOLERANCE: f64 = 1e-3;

/// Imports `path`, runs the part that takes the file's arguments by Burn in f32, and compares every output, activation
/// and gradient that the file holds. `tolerance` is the largest absolute error that passes, gradients excepted.
///
/// # Errors
/// When the network or the file cannot be read, or no part takes the file's arguments.
pub fn run(path: &Path, io: &Path, tolerance: f64, options: &ImportOptions, device: &Device) -> Result<Report, TrainError> {
    let wrap = |error| TrainError::component(format!("checking {}", path.display()), error);
    let reference = ReferenceFile::open(io).map_err(wrap)?;
    let options = reference_check::options_for(options, &reference);
    let component = import(path, &options).map_err(wrap)?;
    let (name, graph) = reference_check::part_for(&component.parts, &reference).map_err(wrap)?;
    check_graph(&format!("{} {name} by Burn", component.class), graph, &reference, tolerance, device)
}

/// Runs a graph by Burn and compares.
///
/// # Errors
/// When the graph does not take the file's arguments or cannot be run.
pub fn check_graph(
    title: &str,
    graph: &Graph,
    reference: &ReferenceFile,
    tolerance: f64,
    device: &Device,
) -> Result<Report, TrainError> {
    let wrap = |error| TrainError::component("checking against the reference", error);
    let graph = reference_check::prepare(graph, reference).map_err(wrap)?;
    let differentiated = reference.grad_w.is_some();
    let module = GraphModule::new(&graph, device, differentiated)?;
    let fitted = reference.inputs_for(&graph).map_err(wrap)?;
    let inputs = fitted.iter().map(|(name, tensor)| {
        let value = value_of(tensor, device)?;
        // Only what the reference differentiates is a leaf.
        Ok((name.as_str(), if reference.grad_inputs.contains_key(name) { value.leaf() } else { value }))
    });
    let inputs = inputs.collect::<Result<Vec<_>, TrainError>>()?;
    let names = reference.outputs.keys().chain(reference.activations.keys());
    let wanted: Vec<&str> = names.map(String::as_str).filter(|name| module.plan().has(name)).collect();
    let results = module.forward(&inputs, &wanted)?;
    let mut on_host = IndexMap::new();
    for (name, value) in &results {
        on_host.insert(name.clone(), (value.shape(), doubles(value)?));
    }
    let mut report = reference_check::compare(title, reference, tolerance, |_, name| on_host.get(name).cloned());
    if let Some(weights) = &reference.grad_w {
        report.rows.extend(gradient_rows(&module, reference, &results, &inputs, weights, device)?);
    }
    Ok(report)
}

/// The gradients of `sum(first output * weights)`.
fn gradient_rows(
    module: &GraphModule,
    reference: &ReferenceFile,
    results: &IndexMap<String, Value>,
    inputs: &[(&str, Value)],
    weights: &RefTensor,
    device: &Device,
) -> Result<Vec<Row>, TrainError> {
    let first = reference.outputs.keys().next().and_then(|name| results.get(name));
    let Some(output) = first else { return Ok(Vec::new()) };
    if weights.shape != output.shape() {
        return Err(TrainError::GradientWeights { weights: weights.shape.clone(), output: output.shape() });
    }
    let mut gradients = output.times(&value_of(weights, device)?).sum().backward();
    let mut rows = Vec::new();
    let mut row = |name: String, tensor: &RefTensor, gradient: Option<&Value>| -> Result<(), TrainError> {
        rows.push(match gradient {
            Some(value) => {
                Row::compare_relative(Kind::Gradient, &name, tensor, &value.shape(), &doubles(value)?, GRADIENT_TOLERANCE)
            }
            None => Row::missing(Kind::Gradient, &name, GRADIENT_TOLERANCE),
        });
        Ok(())
    };
    for (name, tensor) in &reference.grad_inputs {
        let leaf = inputs.iter().find(|(input, _)| input == name).map(|(_, value)| value);
        let gradient = leaf.and_then(|leaf| gradients.take(leaf));
        row(format!("in.{name}"), tensor, gradient.as_ref())?;
    }
    let of_params = ParameterGradients::take(module, &mut gradients);
    for (name, tensor) in &reference.grad_params {
        row(format!("param.{name}"), tensor, of_params.get(name))?;
    }
    Ok(rows)
}

fn value_of(tensor: &RefTensor, device: &Device) -> Result<Value, TrainError> {
    Ok(match &tensor.values {
        RefValues::Int(values) => Value::int(values.clone(), &tensor.shape, device)?,
        _ => Value::float(tensor.to_f32(), &tensor.shape, device)?,
    })
}

fn doubles(value: &Value) -> Result<Vec<f64>, TrainError> {
    Ok(value.to_f32()?.into_iter().map(f64::from).collect())
}

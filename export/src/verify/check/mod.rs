//! Our own checker: reads a written model back and lists every rule of ONNX that it breaks.
//!
//! `onnx.checker` does not look at offsets, lengths, sizes and types of external data; this one does.

mod data;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prost::Message;

use types::result_type;

use crate::error::{ExportError, Result, io};
use crate::onnx::data_path;
use crate::onnx::proto::{AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::targets::Target;

/// What a sound file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Number of nodes.
    pub nodes: usize,
    /// Number of initializers.
    pub initializers: usize,
    /// Bytes of tensors in the data file, without padding.
    pub external_bytes: u64,
}

/// Checks the model at `path` and its data file against the rules of ONNX and of the target.
///
/// Versions, legal operations, unique names, single assignment, topological order, element types, attribute fields, and
/// that every byte of the data file belongs to exactly one tensor of exactly that length.
///
/// # Errors
/// [`ExportError::Invalid`] with every defect; [`ExportError::Io`] when a file cannot be read.
pub fn check_file(path: &Path, target: &Target) -> Result<CheckReport> {
    let data = data_path(path);
    let (report, ranges, mut defects) = check_model(path, target, &data)?;
    data::covered(ranges, &data, &mut defects)?;
    refused(path, defects)?;
    Ok(report)
}

/// As [`check_file`] for models that have their data in one file: two of them may name the same bytes.
///
/// # Errors
/// As [`check_file`].
pub(crate) fn check_sharing(models: &[(&Path, &Target)], data: &Path) -> Result<Vec<CheckReport>> {
    let (mut reports, mut all) = (Vec::new(), Vec::new());
    for (path, target) in models {
        let (report, ranges, defects) = check_model(path, target, data)?;
        refused(path, defects)?;
        reports.push(report);
        all.extend(ranges);
    }
    all.sort_by_key(|range| (range.start, range.end));
    all.dedup_by_key(|range| (range.start, range.end));
    let mut defects = Vec::new();
    data::covered(all, data, &mut defects)?;
    refused(data, defects)?;
    Ok(reports)
}

fn refused(path: &Path, defects: Vec<String>) -> Result<()> {
    if defects.is_empty() { Ok(()) } else { Err(ExportError::Invalid { path: path.into(), defects }) }
}

/// Counts, the ranges of the data file that the model names, and what is wrong with it.
fn check_model(path: &Path, target: &Target, data: &Path) -> Result<(CheckReport, Vec<data::Range>, Vec<String>)> {
    let bytes = std::fs::read(path).map_err(io(path, "read"))?;
    let invalid = |defects| ExportError::Invalid { path: path.into(), defects };
    let model = ModelProto::decode(bytes.as_slice()).map_err(|e| invalid(vec![format!("it is not a model message ({e})")]))?;
    let mut defects = Vec::new();
    versions(&model, target, &mut defects);
    let Some(graph) = &model.graph else {
        defects.push("it has no graph".into());
        return Err(invalid(defects));
    };
    nodes(graph, target, &mut defects);
    let ranges = data::tensors(graph, data, &mut defects);
    let external_bytes = ranges.iter().map(|range| range.end - range.start).sum();
    let report = CheckReport { nodes: graph.node.len(), initializers: graph.initializer.len(), external_bytes };
    Ok((report, ranges, defects))
}

fn versions(model: &ModelProto, target: &Target, defects: &mut Vec<String>) {
    if model.ir_version != Some(target.ir_version) {
        defects.push(format!("its IR version is {:?}, the target wants {}", model.ir_version, target.ir_version));
    }
    let opsets: Vec<_> = model.opset_import.iter().map(|o| (o.domain.as_deref().unwrap_or(""), o.version)).collect();
    if opsets != [("", Some(target.opset))] {
        defects.push(format!("its operator sets are {opsets:?}, the target wants version {} only", target.opset));
    }
}

/// Names, order, legal operations, attributes, element types.
fn nodes(graph: &GraphProto, target: &Target, defects: &mut Vec<String>) {
    if graph.name.is_empty() {
        defects.push("the graph has no name".into());
    }
    let mut types: BTreeMap<&str, Option<i32>> = BTreeMap::new();
    for input in &graph.input {
        define(&mut types, &input.name, element(input), "input", defects);
    }
    for tensor in &graph.initializer {
        define(&mut types, &tensor.name, Some(tensor.data_type), "initializer", defects);
    }
    let mut node_names = BTreeSet::new();
    let mut read: BTreeSet<&str> = BTreeSet::new();
    for node in &graph.node {
        if node.name.is_empty() || !node_names.insert(&node.name) {
            defects.push(format!("node name `{}` is empty or used twice", node.name));
        }
        if !node.domain.is_empty() || !target.legal.iter().any(|(op, since)| *op == node.op_type && *since <= target.opset) {
            defects.push(format!(
                "node `{}`: operation {}{} is not legal for {}",
                node.name, node.domain, node.op_type, target.name
            ));
        }
        attributes(node, defects);
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            read.insert(input);
            match types.get(input.as_str()) {
                Some(dtype) => inputs.push(*dtype),
                None if input.is_empty() => inputs.push(None),
                None => {
                    defects.push(format!("node `{}` reads `{input}` before it is defined", node.name));
                    inputs.push(None);
                }
            }
        }
        let result = result_type(node, &inputs).unwrap_or_else(|problem| {
            defects.push(format!("node `{}` ({}): {problem}", node.name, node.op_type));
            None
        });
        for output in &node.output {
            define(&mut types, output, result, "result", defects);
        }
    }
    for output in &graph.output {
        read.insert(&output.name);
        let (stated, computed) = (element(output), types.get(output.name.as_str()).copied());
        match computed {
            None => defects.push(format!("output `{}` is computed by nothing", output.name)),
            Some(Some(computed)) if stated != Some(computed) => {
                defects.push(format!("output `{}` is declared as type {stated:?} but computed as {computed}", output.name));
            }
            Some(_) => {}
        }
    }
    let results: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
    let mut stated = BTreeSet::new();
    for info in &graph.value_info {
        if !results.contains(&info.name) || !stated.insert(&info.name) {
            defects.push(format!("the type of `{}`, which is no result of a node, is stated or stated twice", info.name));
        }
        if let Some(Some(computed)) = types.get(info.name.as_str()).copied()
            && element(info) != Some(computed)
        {
            defects.push(format!("`{}` is stated as type {:?} but computed as {computed}", info.name, element(info)));
        }
    }
    for tensor in graph.initializer.iter().filter(|tensor| !read.contains(tensor.name.as_str())) {
        defects.push(format!("initializer `{}` is read by nothing", tensor.name));
    }
}

fn define<'g>(
    types: &mut BTreeMap<&'g str, Option<i32>>,
    name: &'g str,
    dtype: Option<i32>,
    kind: &str,
    defects: &mut Vec<String>,
) {
    if name.is_empty() {
        defects.push(format!("an {kind} has no name"));
    } else if types.insert(name, dtype).is_some() {
        defects.push(format!("{kind} `{name}` is defined twice"));
    }
}

/// The element type of a typed tensor with a shape.
fn element(value: &ValueInfoProto) -> Option<i32> {
    let tensor = value.r#type.as_ref()?.tensor_type.as_ref()?;
    tensor.shape.as_ref().map(|_| tensor.elem_type)
}

fn attributes(node: &NodeProto, defects: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for attribute in &node.attribute {
        if !seen.insert(&attribute.name) || attribute.name.is_empty() {
            defects.push(format!("node `{}`: attribute `{}` is unnamed or given twice", node.name, attribute.name));
        }
        if !holds_its_type(attribute) {
            defects.push(format!("node `{}`: attribute `{}` does not hold what its type says", node.name, attribute.name));
        }
    }
}

fn holds_its_type(a: &AttributeProto) -> bool {
    let held = [a.f.is_some(), a.i.is_some(), a.s.is_some(), a.t.is_some(), !a.ints.is_empty()];
    let wanted = [AttributeType::Float, AttributeType::Int, AttributeType::String, AttributeType::Tensor, AttributeType::Ints];
    // An empty list of integers is a value as well.
    wanted.iter().zip(held).all(|(kind, held)| held == (a.r#type == *kind as i32) || (*kind == AttributeType::Ints && !held))
        && wanted.iter().any(|kind| a.r#type == *kind as i32)
}

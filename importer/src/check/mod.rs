//! Checks a network against a file of reference inputs, outputs and activations.

mod derive;
mod report;

use std::path::Path;

use dmdx_graph::{Graph, interp};
use indexmap::IndexMap;

use derive::complete_marks;
pub use report::{Kind, Report, Row};

use crate::arch;
use crate::component::Component;
use crate::error::{ImportError, ReferenceFault, Result};
use crate::import::{import, import_pipeline};
use crate::options::ImportOptions;
use crate::reference::{RefTensor, ReferenceFile};

/// Imports `path`, runs the part that takes the file's arguments by the interpreter in f64, and compares every output
/// and activation that the file holds. `tolerance` is the largest absolute error that passes.
///
/// # Errors
/// When the network or the file cannot be read, or no part takes the file's arguments.
pub fn run(path: &Path, io: &Path, tolerance: f64, options: &ImportOptions) -> Result<Report> {
    run_component(path, None, io, tolerance, options)
}

/// As [`run`] with the named network of a pipeline.
///
/// # Errors
/// As [`run`]; also when the pipeline has no network of that name.
pub fn run_component(path: &Path, component: Option<&str>, io: &Path, tolerance: f64, options: &ImportOptions) -> Result<Report> {
    let reference = ReferenceFile::open(io)?;
    let component = network(path, component, &options_for(options, &reference))?;
    let (name, graph) = part_for(&component.parts, &reference)?;
    check_graph(&format!("{} {name}", component.class), graph, &reference, tolerance)
}

/// The choices of a user, with the number of frames of the file's video where none is chosen.
pub fn options_for(options: &ImportOptions, reference: &ReferenceFile) -> ImportOptions {
    let of_file = || reference.inputs.iter().find_map(|(name, tensor)| arch::frames_of_input(name, &tensor.shape));
    ImportOptions { frames: options.frames.or_else(of_file), ..options.clone() }
}

/// The network of a path, or the named one of a pipeline.
fn network(path: &Path, name: Option<&str>, options: &ImportOptions) -> Result<Component> {
    let Some(name) = name else { return import(path, options) };
    let mut pipeline = import_pipeline(path, options)?;
    let known: Vec<String> = pipeline.components.keys().cloned().collect();
    pipeline.components.shift_remove(name).ok_or_else(|| {
        let (path, name) = (path.into(), name.chars().take(80).collect());
        ImportError::NoComponent { path, name, known }
    })
}

/// The part whose inputs are the file's arguments.
///
/// # Errors
/// When there is none; the message lists what each part takes.
pub fn part_for<'p>(parts: &'p IndexMap<String, Graph>, reference: &ReferenceFile) -> Result<(&'p str, &'p Graph)> {
    parts.iter().find(|(_, graph)| reference.fits(graph)).map(|(name, graph)| (name.as_str(), graph)).ok_or_else(|| {
        let part = |(name, graph): (&String, &Graph)| {
            let inputs: Vec<&str> = graph.inputs().iter().map(|(name, _)| &**name).collect();
            format!("{name} takes {}", inputs.join(", "))
        };
        let fault = ReferenceFault::NoPart { found: reference.args.clone(), parts: parts.iter().map(part).collect() };
        ImportError::Reference { path: reference.path.clone(), fault }
    })
}

/// Runs a graph by the interpreter and compares.
///
/// # Errors
/// When the graph does not take the file's arguments or cannot be run.
pub fn check_graph(title: &str, graph: &Graph, reference: &ReferenceFile, tolerance: f64) -> Result<Report> {
    let graph = prepare(graph, reference)?;
    let fail = |reason| ImportError::Reference { path: reference.path.clone(), fault: ReferenceFault::Tensor { reason } };
    let mut inputs = std::collections::BTreeMap::new();
    for (name, tensor) in reference.inputs_for(&graph)? {
        inputs.insert(name, tensor.to_interp().map_err(fail)?);
    }
    let run = interp::run(&graph, &inputs)?;
    Ok(compare(title, reference, tolerance, |kind, name| {
        let output = if kind == Kind::Output { run.outputs.get(name) } else { None };
        output.or_else(|| run.marks.get(name)).map(|tensor| (tensor.shape().to_vec(), tensor.to_f64()))
    }))
}

/// The graph with exactly the marks that the file's activations (and outputs that only have a mark) name, derived ones
/// included: what an engine has to run for a check.
///
/// # Errors
/// When a derived value cannot be added.
pub fn prepare(graph: &Graph, reference: &ReferenceFile) -> Result<Graph> {
    let mut graph = graph.clone();
    complete_marks(&mut graph, &reference.activations)?;
    graph.retain_marks(|path| reference.activations.contains_key(path) || reference.outputs.contains_key(path));
    Ok(graph)
}

/// Compares every output and activation of the file with what `value_of` gives (shape and elements, row-major).
/// Something that the network does not have fails.
pub fn compare(
    title: &str,
    reference: &ReferenceFile,
    tolerance: f64,
    value_of: impl Fn(Kind, &str) -> Option<(Vec<usize>, Vec<f64>)>,
) -> Report {
    let outputs = reference.outputs.iter().map(|(name, tensor)| (Kind::Output, name, tensor));
    let activations = reference.activations.iter().map(|(name, tensor)| (Kind::Activation, name, tensor));
    let row = |(kind, name, tensor): (Kind, &String, &RefTensor)| match value_of(kind, name) {
        Some((shape, values)) => Row::compare(kind, name, tensor, &shape, &values, tolerance),
        None => Row::missing(kind, name, tolerance),
    };
    Report { title: title.into(), rows: outputs.chain(activations).map(row).collect() }
}

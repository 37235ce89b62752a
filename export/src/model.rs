//! One graph to one ONNX file.

use std::path::Path;

use dmdx_graph::Graph;

use crate::error::Result;
use crate::lower::lower;
use crate::onnx::{WriteReport, write_model, write_sharing};
use crate::options::GraphOptions;
use crate::verify::{CheckReport, check_file, check_sharing};

/// What [`export_graph`] wrote and found when it read the file back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphReport {
    /// The files.
    pub written: WriteReport,
    /// What our checker counted.
    pub checked: CheckReport,
}

/// One of several graphs that are exported together.
pub(crate) struct Sharing<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The model file.
    pub path: &'a Path,
    /// How it is exported.
    pub options: &'a GraphOptions,
}

/// As [`export_graph`] for graphs with common weights, which lie in the one file `data`.
///
/// # Errors
/// As [`export_graph`].
pub(crate) fn export_sharing(graphs: &[Sharing<'_>], data: &Path) -> Result<Vec<GraphReport>> {
    let models = graphs.iter().map(|one| lower(one.graph, one.options)).collect::<Result<Vec<_>>>()?;
    let paths: Vec<&Path> = graphs.iter().map(|one| one.path).collect();
    let pairs: Vec<_> = models.iter().zip(paths.iter().copied()).collect();
    let written = write_sharing(&pairs, data)?;
    let targets: Vec<_> = graphs.iter().map(|one| (one.path, one.options.target)).collect();
    let checked = check_sharing(&targets, data)?;
    Ok(written.into_iter().zip(checked).map(|(written, checked)| GraphReport { written, checked }).collect())
}

/// Lowers `graph`, writes it to `path` (with `<path>_data` beside it when large) and checks the written file. The same graph
/// and options give the same bytes.
///
/// # Errors
/// When the target refuses an operation, the graph lacks data or names, the disk refuses, or the written file is not sound.
pub fn export_graph(graph: &Graph, path: &Path, options: &GraphOptions) -> Result<GraphReport> {
    let model = lower(graph, options)?;
    let written = write_model(&model, path, options.write)?;
    let checked = check_file(path, options.target)?;
    Ok(GraphReport { written, checked })
}

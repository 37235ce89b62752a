//! One graph to one ONNX file.

use std::path::Path;

use dmdx_graph::Graph;

use crate::error::Result;
use crate::lower::lower;
use crate::onnx::{WriteReport, write_model};
use crate::options::GraphOptions;
use crate::verify::{CheckReport, check_file};

/// What [`export_graph`] wrote and found when it read the file back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphReport {
    /// The files.
    pub written: WriteReport,
    /// What our checker counted.
    pub checked: CheckReport,
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

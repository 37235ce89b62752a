//! The one error type of this crate.

use std::path::{Path, PathBuf};

use dmdx_graph::GraphError;
use dmdx_graph::store::{self, PlaceError};

/// Why an export failed; every message names the place and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No target of that name exists.
    #[error("there is no export target `{name}`; the targets are {known}")]
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// All targets, comma separated.
        known: String,
    },
    /// Operations that the target cannot express; all of them are listed.
    #[error("target {target} cannot express {} operation(s) of graph `{graph}`: {}", .refused.len(), .refused.join("; "))]
    Refused {
        /// The target.
        target: &'static str,
        /// The graph's name.
        graph: String,
        /// `origin: op, reason`, one per operation.
        refused: Vec<String>,
    },
    /// The graph itself is at fault.
    #[error(transparent)]
    Graph(Box<GraphError>),
    /// The source checkpoint is at fault.
    #[error(transparent)]
    Import(Box<dmdx_importer::ImportError>),
    /// A parameter has no data.
    #[error("graph `{graph}`: parameter `{name}` has no data; import the checkpoint with its weights before exporting")]
    NoWeight {
        /// The graph's name.
        graph: String,
        /// The parameter.
        name: String,
    },
    /// A name cannot be given in ONNX.
    #[error("graph `{graph}`: {kind} name `{name}` {problem}")]
    Name {
        /// The graph's name.
        graph: String,
        /// `input` or `output`.
        kind: &'static str,
        /// The name.
        name: String,
        /// What is wrong, as the rest of a sentence.
        problem: &'static str,
    },
    /// A size depends on a symbol that no input can tell at run time.
    #[error("{origin}: size `{dim}` cannot be computed from the shapes of the inputs; declare an input with that symbol")]
    Size {
        /// The module path of the operation.
        origin: String,
        /// The dimension.
        dim: String,
    },
    /// A written file breaks the rules of ONNX; all defects are listed.
    #[error("{} breaks {} rule(s) of ONNX: {}", .path.display(), .defects.len(), .defects.join("; "))]
    Invalid {
        /// The model file.
        path: PathBuf,
        /// One sentence per defect.
        defects: Vec<String>,
    },
    /// A model without external data would be larger than protobuf allows.
    #[error("{} would have {bytes} bytes, more than protobuf's limit of 2 GiB; lower the external data threshold", .path.display())]
    TooLarge {
        /// The model file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// The file system refuses.
    #[error("{} cannot be {action}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `written`, `read`, ….
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing can be written where the export is to be.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The destination is something that must not be replaced.
    #[error("{} is not an export of this kind and will not be replaced; name another folder", .0.display())]
    NotABundle(PathBuf),
    /// The source lacks something that a bundle needs.
    #[error("{source_name} cannot become a bundle: {problem}")]
    Source {
        /// What the source is called.
        source_name: String,
        /// What is missing or unsupported, and what to do.
        problem: String,
    },
    /// Options that contradict each other or the source.
    #[error("{0}")]
    Options(String),
    /// What was written does not compute what its source computes.
    #[error(
        "{component} run by {engine} differs from its source: output {output} by {relative:e} of its largest value, more than {tolerance:e}; nothing was kept"
    )]
    Verification {
        /// The component.
        component: String,
        /// The engine and its version.
        engine: String,
        /// The output with the largest error.
        output: String,
        /// The error.
        relative: f64,
        /// The limit.
        tolerance: f64,
    },
    /// An engine could not run what was written.
    #[error("{component} could not be verified: {source}")]
    Engine {
        /// The component.
        component: String,
        /// The engine's complaint.
        source: Box<dmdx_runtime::Error>,
    },
    /// An engine that the target cannot be verified without is not there.
    #[error("target {target} cannot be verified: {reason}")]
    NoEngine {
        /// The target.
        target: &'static str,
        /// Why the engine is not there, and how to get it.
        reason: String,
    },
    /// A file of the source, its scheduler or its noise process is at fault.
    #[error(transparent)]
    Runtime(#[from] dmdx_runtime::Error),
    /// The user interrupted the export.
    #[error("the export was interrupted; nothing was kept")]
    Cancelled,
    /// The manifest would not be readable.
    #[error(transparent)]
    Manifest(#[from] dmdx_runtime::manifest::ManifestError),
}

impl From<GraphError> for ExportError {
    fn from(error: GraphError) -> Self {
        Self::Graph(Box::new(error))
    }
}

impl From<dmdx_importer::ImportError> for ExportError {
    fn from(error: dmdx_importer::ImportError) -> Self {
        Self::Import(Box::new(error))
    }
}

impl ExportError {
    /// About files that were to be called otherwise: paths below `from` are named as if it were `to`.
    pub(crate) fn renamed(mut self, from: &Path, to: &Path) -> Self {
        match self {
            Self::Io { ref mut path, .. } | Self::Invalid { ref mut path, .. } | Self::TooLarge { ref mut path, .. } => {
                *path = store::renamed(path, from, to);
                self
            }
            Self::Engine { component, source } => Self::Engine { component, source: Box::new(source.renamed(from, to)) },
            Self::Runtime(error) => Self::Runtime(error.renamed(from, to)),
            other => other,
        }
    }

    /// The exit code of a program that stops with this error: 1 for the input, 2 for impossible options, 3 for the
    /// environment, 130 after an interrupt.
    pub fn exit_code(&self) -> u8 {
        match self {
            ExportError::UnknownTarget { .. } | ExportError::Options(_) => 2,
            ExportError::Io { .. } | ExportError::NoEngine { .. } => 3,
            ExportError::Place(error) => error.exit_code(),
            ExportError::Import(error) => error.exit_code(),
            ExportError::Engine { source, .. } => source.exit_code(),
            ExportError::Runtime(source) => source.exit_code(),
            ExportError::Cancelled => 130,
            _ => 1,
        }
    }
}

/// Shorthand used throughout the crate.
pub type Result<T> = std::result::Result<T, ExportError>;

/// Wraps an I/O error with its path.
pub(crate) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Io { path, action, source }
}

//! What is wrong with a file of reference inputs and outputs.

use dmdx_graph::error::RunError;

/// Why a reference file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceFault {
    /// A key of another kind.
    #[error("the key `{key}` does not begin with in., out., act., grad.in. or grad.param.")]
    Key {
        /// The key, shortened.
        key: String,
    },
    /// Metadata that is no list of names.
    #[error("the metadata `{key}` is not a JSON list of names ({error})")]
    Names {
        /// `args` or `outs`.
        key: &'static str,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Metadata that names other tensors than there are.
    #[error("the metadata `{key}` lists {listed:?}, the file holds {present:?}")]
    Listed {
        /// `args` or `outs`.
        key: &'static str,
        /// What the metadata name, sorted.
        listed: Vec<String>,
        /// What the file holds, sorted.
        present: Vec<String>,
    },
    /// No arguments, or no results.
    #[error("it needs at least one `in.*` and one `out.*` tensor")]
    Incomplete,
    /// Arguments of another network.
    #[error("its arguments are {}, the network takes {}", .found.join(", "), .wanted.join(", "))]
    Arguments {
        /// Those of the file.
        found: Vec<String>,
        /// Those of the network.
        wanted: Vec<String>,
    },
    /// Arguments that no part of a network takes.
    #[error("its arguments are {}, but {}", .found.join(", "), .parts.join("; "))]
    NoPart {
        /// Those of the file.
        found: Vec<String>,
        /// `PART takes ARGUMENTS` for every part.
        parts: Vec<String>,
    },
    /// A tensor that the interpreter does not take.
    #[error("{reason}")]
    Tensor {
        /// The interpreter's reason.
        reason: RunError,
    },
}

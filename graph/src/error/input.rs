//! What can be wrong with a concrete input of a graph.

use super::RunError;

/// Why a tensor is not what a graph's input declares. Declared types are as they are printed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum InputError {
    #[error("is missing; the graph wants {wanted}")]
    Missing { wanted: String },
    #[error("holds {given}, the graph wants {wanted}")]
    Elements { given: &'static str, wanted: String },
    #[error("has {} dimensions {sizes:?}, the graph wants {wanted}", .sizes.len())]
    Rank { sizes: Vec<usize>, wanted: String },
    #[error("has size {size} where {dim} needs a positive multiple of {factor}")]
    Multiple { size: usize, dim: String, factor: usize },
    #[error("has shape {sizes:?}, the graph wants {wanted} with {dim} = {size}")]
    Size { sizes: Vec<usize>, wanted: String, dim: String, size: usize },
    #[error(transparent)]
    Value(#[from] RunError),
}

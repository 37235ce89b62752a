//! What can be wrong with a parameter's data.

use super::RunError;

/// Why a weight cannot be made, changed or evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum WeightError {
    #[error("has no data; load the checkpoint before running the graph")]
    Absent,
    #[error("has shape {shape:?}, the network needs {needed:?}")]
    Shape { shape: Vec<usize>, needed: Vec<usize> },
    #[error("shape {shape:?} is too large")]
    TooLarge { shape: Vec<usize> },
    #[error("needs bytes {offset}..+{length} of a file of {size} bytes")]
    OutsideFile { offset: usize, length: usize, size: usize },
    #[error("has {bytes} bytes, which is not {shape:?} of {dtype}")]
    Length { bytes: usize, shape: Vec<usize>, dtype: &'static str },
    #[error("{axes:?} does not reorder the dimensions of {shape:?}")]
    Permute { axes: Vec<usize>, shape: Vec<usize> },
    #[error("{from:?} cannot be reshaped to {to:?}")]
    Reshape { from: Vec<usize>, to: Vec<usize> },
    #[error("{shape:?} has no rows {start}..+{count}")]
    Rows { shape: Vec<usize>, start: usize, count: usize },
    #[error("{shape:?} does not divide into two halves")]
    Halves { shape: Vec<usize> },
    #[error("a weight of type {dtype} cannot be added to")]
    NotFloat { dtype: &'static str },
    #[error("{up:?} times {down:?} does not fit a weight of {base:?}")]
    Product { up: Vec<usize>, down: Vec<usize>, base: Vec<usize> },
    #[error("{left:?} and {right:?} cannot be {how}")]
    Unfit { how: &'static str, left: Vec<usize>, right: Vec<usize> },
    #[error(transparent)]
    Value(#[from] RunError),
}

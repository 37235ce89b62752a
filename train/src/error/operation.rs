//! What can be wrong when one operation of a network runs.

use dmdx_graph::error::DimError;

use super::tensor::TensorError;

/// Why an operation cannot take the tensors that it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum OperationError {
    #[error("an operand is missing")]
    Missing,
    #[error("{shape:?} has not {rank} dimensions")]
    Rank { shape: Vec<usize>, rank: usize },
    #[error("{shape:?} has not two dimensions")]
    NoTokens { shape: Vec<usize> },
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Dim(#[from] DimError),
    #[error("the kernel reaches over {reach:?}, the input has only {height} by {width}")]
    Kernel { reach: [usize; 2], height: usize, width: usize },
    #[error("a kernel of {kernel:?} does not fit into the padded input {padded:?}")]
    VolumeKernel { kernel: [usize; 3], padded: [usize; 3] },
    #[error("the kernel is empty")]
    EmptyKernel,
    #[error("a window of {kernel:?} moved by {stride:?} does not fit into the padded picture {sides:?}")]
    Window { kernel: [usize; 2], stride: [usize; 2], sides: [usize; 2] },
    #[error("a picture of {rows} by {columns} cannot be resized to {height} by {width}")]
    Resize { rows: usize, columns: usize, height: usize, width: usize },
    #[error("an id is not in a table of {entries}")]
    Id { entries: usize },
    #[error("{ids} ids stand for {batch} texts of {tokens} tokens")]
    Texts { ids: usize, batch: usize, tokens: usize },
    #[error("tables of shapes {cos:?} and {sin:?} do not rotate {shape:?}")]
    Rotation { cos: Vec<usize>, sin: Vec<usize>, shape: Vec<usize> },
    #[error("{height} by {width} is not inside a table of side {side}; use a smaller picture")]
    Crop { height: usize, width: usize, side: usize },
    #[error("the grid is too large")]
    GridTooLarge,
    #[error("{tokens} tokens are not a grid of {height} by {width}")]
    Grid { tokens: usize, height: usize, width: usize },
    #[error("{windows} windows are not made of grids of {rows} by {columns}")]
    Windows { windows: usize, rows: usize, columns: usize },
    #[error("{length} elements from {start} along axis {axis} are not in {shape:?}")]
    Slice { length: usize, start: usize, axis: usize, shape: Vec<usize> },
    #[error("{from:?} does not broadcast to {to:?}")]
    Expand { from: Vec<usize>, to: Vec<usize> },
}

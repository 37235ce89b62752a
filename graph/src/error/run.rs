//! What can be wrong with the values of an operation.

use super::DimError;

/// Why the interpreter cannot make a tensor or compute an operation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum RunError {
    // Tensors.
    #[error("floats are needed, integers are given")]
    NotFloats,
    #[error("integers are needed, floats are given")]
    NotIntegers,
    #[error("a tensor of shape {shape:?} has more than the {most} elements the interpreter allows")]
    TooLarge { shape: Vec<usize>, most: usize },
    #[error("{count} elements are not a tensor of shape {shape:?}")]
    Count { count: usize, shape: Vec<usize> },
    #[error(transparent)]
    Layout(#[from] ndarray::ShapeError),
    #[error(transparent)]
    Dim(#[from] DimError),
    // Operands.
    #[error("input {input} is missing")]
    Missing { input: usize },
    #[error("{name} has shape {shape:?}, {rank} dimensions are needed")]
    Rank { name: &'static str, shape: Vec<usize>, rank: usize },
    #[error("{name} has shape {shape:?}, {wanted:?} is needed")]
    Operand { name: &'static str, shape: Vec<usize>, wanted: Vec<usize> },
    #[error("an operand is too short")]
    TooShort,
    #[error("x is a scalar")]
    Scalar,
    #[error("a scalar has no last dimension")]
    NoLastDimension,
    #[error("x needs at least two dimensions")]
    NoChannels,
    #[error("x has shape {shape:?}, two dimensions are needed")]
    NoTokens { shape: Vec<usize> },
    #[error("{shape:?} is not a matrix")]
    NotAMatrix { shape: Vec<usize> },
    #[error("{shape:?} has no axis {axis}")]
    NoAxis { shape: Vec<usize>, axis: usize },
    #[error("an input has no axis {axis}")]
    NoAxisToJoin { axis: usize },
    #[error("{a:?} and {b:?} do not broadcast")]
    Broadcast { a: Vec<usize>, b: Vec<usize> },
    #[error("{from:?} does not broadcast to {to:?}")]
    Expand { from: Vec<usize>, to: Vec<usize> },
    // Single operations.
    #[error("x has shape {x:?}, weight {weight:?}")]
    Linear { x: Vec<usize>, weight: Vec<usize> },
    #[error("inner sizes {a} and {b} differ")]
    Inner { a: usize, b: usize },
    #[error("x has shape {x:?}, weight {weight:?}, groups is {groups}")]
    Convolution { x: Vec<usize>, weight: Vec<usize>, groups: usize },
    #[error("the kernel is larger than the padded input")]
    Kernel,
    #[error("kernel and stride must be positive, padding less than the kernel")]
    Pool,
    #[error("{channels} channels do not divide into {groups} groups")]
    Groups { channels: usize, groups: usize },
    #[error("causal attention needs as many keys as queries, not {keys} and {queries}")]
    Causal { keys: usize, queries: usize },
    #[error("{tokens} tokens are not a grid of {height} by {width}")]
    Grid { tokens: usize, height: usize, width: usize },
    #[error("the width {width} is not even")]
    OddWidth { width: usize },
    #[error("the last dimension of {shape:?} is not even")]
    OddLastDimension { shape: Vec<usize> },
    #[error("{buckets} buckets do not reach beyond the distance {max_distance}")]
    Buckets { buckets: usize, max_distance: usize },
    #[error("{height} by {width} is not inside a table of side {side}; use a smaller picture")]
    Crop { height: usize, width: usize, side: usize },
    #[error("the grid is too large")]
    GridTooLarge,
    #[error("id {id} is not in a table of {rows} rows")]
    Id { id: i64, rows: usize },
    #[error("a text without tokens has none that stands for it")]
    EmptyText,
    #[error("an empty axis has no largest element")]
    EmptyAxis,
    #[error("{axes:?} does not reorder the dimensions of {shape:?}")]
    Permute { axes: Vec<usize>, shape: Vec<usize> },
    #[error("{length} elements from {start} are not in axis {axis} of {shape:?}")]
    Slice { length: usize, start: usize, axis: usize, shape: Vec<usize> },
    #[error("{pads} paddings are given for {shape:?}")]
    Pads { pads: usize, shape: Vec<usize> },
    #[error("the padded size overflows")]
    PadOverflow,
    #[error("the window is empty")]
    EmptyWindow,
    #[error("{shape:?} is not made of windows of side {window}")]
    NotWindows { shape: Vec<usize>, window: usize },
    #[error("{count} windows do not cover images of {height} by {width}")]
    Windows { count: usize, height: usize, width: usize },
    #[error("{shape:?} cannot be resized to {height} by {width}")]
    Resize { shape: Vec<usize>, height: usize, width: usize },
    // The whole run.
    #[error("it gave {given:?} where the type says {wanted:?}")]
    Result { given: Vec<usize>, wanted: Vec<usize> },
    #[error("the value was not computed")]
    NotComputed,
}

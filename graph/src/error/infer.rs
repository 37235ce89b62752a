//! What can be wrong with the types of an operation's inputs.

use super::DimError;

/// Why an operation cannot take its inputs. Types, shapes and dimensions are as they are printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum InferError {
    // Operands.
    #[error("it has {inputs} inputs, {least} to {most} are possible")]
    Inputs { inputs: usize, least: usize, most: usize },
    #[error("input {input} has type {ty}, {wanted} is needed")]
    Elements { input: usize, ty: String, wanted: &'static str },
    #[error("{shape} has not {rank} dimensions")]
    Rank { shape: String, rank: usize },
    #[error("{name} is {shape}, {wanted} is needed")]
    Operand { name: &'static str, shape: String, wanted: String },
    #[error("a scalar has no last dimension")]
    NoLastDimension,
    #[error("x needs at least two dimensions")]
    NoChannels,
    #[error("{shape} has not two dimensions")]
    NoTokens { shape: String },
    #[error("{shape} is not a matrix")]
    NotAMatrix { shape: String },
    #[error("{shape} has no axis {axis}")]
    NoAxis { shape: String, axis: usize },
    #[error("size {dim} must be known")]
    Unknown { dim: String },
    #[error("types {a} and {b} differ")]
    Types { a: String, b: String },
    #[error("{a} and {b} do not broadcast")]
    Broadcast { a: String, b: String },
    #[error(transparent)]
    Dim(#[from] DimError),
    // Single operations.
    #[error("x is {x}, weight is {weight}")]
    Linear { x: String, weight: String },
    #[error("inner sizes {a} and {b} differ")]
    Inner { a: String, b: String },
    #[error("x is {x}, weight is {weight}, {rank} dimensions are needed")]
    ConvolutionRank { x: String, weight: String, rank: usize },
    #[error("x is {x}, weight is {weight}, groups is {groups}")]
    Convolution { x: String, weight: String, groups: usize },
    #[error("stride, dilation and groups must be positive")]
    ConvolutionZero,
    #[error("the dilated kernel is too large")]
    KernelTooLarge,
    #[error("the kernel of {reach} is larger than the padded input of {padded}")]
    Kernel { reach: usize, padded: String },
    #[error("kernel and stride must be positive, padding less than the kernel")]
    Pool,
    #[error("{channels} channels do not divide into {groups} groups")]
    Groups { channels: String, groups: usize },
    #[error("causal attention needs as many keys as queries, not {keys} and {queries}")]
    Causal { keys: String, queries: String },
    #[error("the bias {bias} does not broadcast to {scores}")]
    Bias { bias: String, scores: String },
    #[error("{tokens} tokens are not a grid of {height} by {width}")]
    Grid { tokens: String, height: usize, width: usize },
    #[error("the width {width} is not even")]
    OddWidth { width: String },
    #[error("{buckets} buckets do not reach beyond the distance {max_distance}")]
    Buckets { buckets: String, max_distance: usize },
    #[error("the table is too large")]
    TableTooLarge,
    #[error("{height} by {width} is not inside a table of side {side}")]
    Crop { height: String, width: String, side: usize },
    #[error("the scales must be positive")]
    Scales,
    #[error("the width {width} is not a multiple of 16")]
    GridWidth { width: usize },
    #[error("{from} has not as many elements as {to}")]
    Reshape { from: String, to: String },
    #[error("{axes:?} does not reorder the dimensions of {shape}")]
    Permute { axes: Vec<usize>, shape: String },
    #[error("{shape} and {other} differ beside axis {axis}")]
    Concat { shape: String, other: String, axis: usize },
    #[error("{length} elements from {start} are not in {shape}")]
    Slice { length: usize, start: usize, shape: String },
    #[error("{pads} paddings are given for {shape}")]
    Pads { pads: usize, shape: String },
    #[error("{from} does not broadcast to {to}")]
    Expand { from: String, to: String },
    #[error("the window is empty")]
    EmptyWindow,
    #[error("there are too many windows")]
    TooManyWindows,
    #[error("{shape} is not made of windows of side {window}")]
    NotWindows { shape: String, window: usize },
    #[error("{shape} cannot be resized to {height} by {width}")]
    Resize { shape: String, height: String, width: String },
    #[error("axes {axes:?} are not ascending axes of {shape}")]
    Axes { axes: Vec<usize>, shape: String },
    // Changes of a graph.
    #[error("{old} would be replaced by {new}")]
    Replace { old: String, new: String },
}

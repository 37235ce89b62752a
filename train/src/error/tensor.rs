//! What can be wrong with tensors.

/// Why a tensor cannot be made, joined, cut or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum TensorError {
    #[error("a tensor of shape {shape:?} cannot hold {count} values")]
    Count { shape: Vec<usize>, count: usize },
    #[error("a tensor cannot be read back: {reason}")]
    Unread { reason: String },
    #[error("integers are needed where floats were given")]
    NotIntegers,
    #[error("one number is needed where {count} were given")]
    NotOne { count: usize },
    #[error("{factors} factors are given for samples {shape:?}")]
    Factors { factors: usize, shape: Vec<usize> },
    #[error("sample {sample} is asked for, but there are {samples}")]
    NoSample { sample: usize, samples: usize },
    #[error("tensors of shapes {shapes:?} cannot be joined along axis {axis}")]
    Join { shapes: Vec<Vec<usize>>, axis: usize },
    #[error("no tensors to join")]
    NothingToJoin,
    #[error("floats and integers cannot be joined")]
    MixedKinds,
}

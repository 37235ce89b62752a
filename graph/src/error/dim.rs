//! What can be wrong with a dimension expression.

/// Why a dimension has no quotient, no size or no meaning. The dimension is as [`Dim`](crate::Dim) prints it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum DimError {
    #[error("dimension `{dim}`: is not divisible by {divisor}")]
    Indivisible { dim: String, divisor: usize },
    #[error("dimension `{dim}`: symbol `{symbol}` has no size")]
    Unbound { dim: String, symbol: String },
    #[error("dimension `{dim}`: is too large")]
    TooLarge { dim: String },
    #[error("dimension `{dim}`: is {size}, below zero")]
    Negative { dim: String, size: i64 },
    #[error("dimension `{dim}`: is not a sum of products of integers and names")]
    Syntax { dim: String },
}

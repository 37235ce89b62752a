//! Lazy weights: a range of a mapped file, owned bytes, or a pure expression over other weights.

mod algebra;
mod elements;
mod expr;
mod low_rank;
mod mapped;
mod weight;

pub use elements::{byte_length, encode};
pub use mapped::MappedFile;
pub use weight::{Magnitude, Weight, WeightExpr};

//! Lazy weights: a range of a mapped file, owned bytes, or a pure expression over other weights.

mod algebra;
mod elements;
mod expr;
mod float8;
mod low_rank;
mod mapped;
mod weight;

pub use elements::{byte_length, encode};
pub use float8::Float8;
pub use mapped::MappedFile;
pub use weight::{Magnitude, Weight, WeightExpr};

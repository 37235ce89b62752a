//! The errors of this crate: one enum that callers see, and one per module below it for the cause.
//!
//! This folder knows no other module, so that every module may use it: shapes and types are carried as they are printed.

mod dim;
mod graph;
mod infer;
mod input;
mod run;
mod weight;

pub use dim::DimError;
pub use graph::{GraphError, ParseError, Result, RewriteError};
pub use infer::InferError;
pub use input::InputError;
pub use run::RunError;
pub use weight::WeightError;

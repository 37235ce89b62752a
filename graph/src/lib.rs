//! The graph IR of dmdx, pure: it knows no engine, no file format, no clock, and no randomness without a seed.
//!
//! A [`Graph`] is a list of single-result operations over symbolic shapes, with weights that are evaluated only when
//! somebody streams them. The [`interp`] module defines what every [`Op`] means; [`rewrite`] changes graphs and logs why.
//! [`mod@store`] is how every crate writes files and hashes them.

#![warn(unreachable_pub)]

mod dtype;
pub mod error;
pub mod interp;
pub mod ir;
pub mod json;
pub mod rewrite;
pub mod store;
pub mod tables;
pub mod text;
mod verify;
pub mod weights;

pub use dtype::DType;
pub use error::GraphError;
pub use ir::{Bindings, Def, Dim, Graph, Op, Shape, Type, ValueId};
pub use weights::Weight;

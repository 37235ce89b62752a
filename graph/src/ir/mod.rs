//! The IR itself: dimensions, types, operations, the type of every operation, and the graph that owns them.

mod attributes;
mod dim;
mod graph;
mod infer;
mod op;
mod types;

pub(crate) use attributes::attributes;
pub use dim::{Bindings, Dim, Symbol};
pub use graph::{Def, Graph, Output, Param, SymbolInfo, Value, ValueId};
pub(crate) use infer::infer;
pub use op::{Interpolation, Op, PoolRule, ReduceKind};
pub use types::{Shape, Type};

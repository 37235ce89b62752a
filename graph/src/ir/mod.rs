//! The IR itself: dimensions, types, operations, and the graph that owns them.

mod dim;
mod graph;
mod op;
mod types;

pub use dim::{Bindings, Dim, Symbol};
pub use graph::{Def, Graph, Output, Param, SymbolInfo, Value, ValueId};
pub use op::{Interpolation, Op, PoolRule, ReduceKind};
pub use types::{DType, Shape, Type};

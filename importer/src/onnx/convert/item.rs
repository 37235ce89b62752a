//! What is known of the values of a file while it is converted.

use std::rc::Rc;

use dmdx_graph::ir::PoolRule;
use dmdx_graph::{Dim, ValueId, Weight};

use super::constant::Constant;

/// How the numbers of a computation on texts are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `[texts]`.
    Row,
    /// `[texts, 1]`.
    Column,
    /// `[texts, 2]`, with the number of the text before it.
    Pairs,
}

/// Places in texts, by their ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub rule: PoolRule,
    pub ids: ValueId,
    pub form: Form,
}

/// What is known of a named value.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// Elements that are known now.
    Constant(Rc<Constant>),
    /// A tensor of the file that has not been read.
    Weight(Weight),
    /// A value of the graph.
    Value(ValueId),
    /// `erf(x / √2)` of the value `x`, waiting for the rest of a GELU.
    Erf(ValueId),
    /// `factor * (1 + erf(x / √2))`.
    ErfPlusOne(ValueId, f64),
    /// Where in each text the token lies that stands for it.
    Position(Position),
    /// `0, 1, ..` up to a size, as a row or as a column.
    Counting(Dim, Form),
    /// The ids that are one particular id.
    IsId(i64, ValueId),
    /// The result of an operation that was refused.
    Lost,
}

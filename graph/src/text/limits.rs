//! What a text may contain: bounds that keep every later computation on a parsed graph small.

use super::cursor::{Lexed, shorten};
use crate::error::ParseError;
use crate::ir::{Dim, Graph, Op, Shape, attributes};

/// Operations of one graph.
pub(super) const OPERATIONS: usize = 500_000;
/// Parameters of one graph.
pub(super) const PARAMETERS: usize = 200_000;
/// Inputs, outputs, symbols: each.
pub(super) const NAMES: usize = 1_000;
const RANK: usize = 8;
/// Coefficients of dimensions.
const SIZE: i64 = 1 << 40;
/// Whole numbers in attributes, so that products of two cannot overflow.
const ATTRIBUTE: i64 = 1 << 31;
const ELEMENTS: u64 = 1 << 48;
/// Products in the expanded number of elements of a shape.
const TERMS: usize = 256;
const FACTORS: usize = 8;

/// Checks one more entry of a table.
pub(super) fn count(used: usize, limit: usize, what: &'static str) -> Lexed<()> {
    if used < limit { Ok(()) } else { Err(ParseError::TooMany { limit, what }) }
}

/// Checks a shape's rank, sizes and declared symbols.
pub(super) fn shape(graph: &Graph, shape: &Shape) -> Lexed<()> {
    if shape.rank() > RANK {
        return Err(ParseError::Rank { rank: shape.rank(), most: RANK });
    }
    let mut terms = 1usize;
    for dim in &shape.0 {
        self::dim(graph, dim)?;
        terms = terms.saturating_mul(dim.terms().count().max(1));
    }
    if terms > TERMS {
        return Err(ParseError::Terms);
    }
    if shape.elements().terms().any(|(_, coefficient)| coefficient.unsigned_abs() > ELEMENTS) {
        return Err(ParseError::Elements { most: ELEMENTS });
    }
    Ok(())
}

fn dim(graph: &Graph, dim: &Dim) -> Lexed<()> {
    if dim.terms().any(|(factors, coefficient)| factors.len() > FACTORS || !(-SIZE..=SIZE).contains(&coefficient)) {
        return Err(ParseError::Dimension { size: SIZE, factors: FACTORS });
    }
    match dim.symbols().find(|symbol| !graph.symbols().contains_key(*symbol)) {
        Some(symbol) => Err(ParseError::NoSymbol { symbol: shorten(symbol) }),
        None if dim.terms().next().is_some() && dim.terms().all(|(_, coefficient)| coefficient < 0) => {
            Err(ParseError::BelowZero { dim: dim.to_string() })
        }
        None => Ok(()),
    }
}

/// Checks an operation's attributes.
pub(super) fn op(graph: &Graph, op: &Op) -> Lexed<()> {
    let attributes = attributes(op);
    if let Some(shape) = attributes.shape {
        self::shape(graph, shape)?;
    }
    attributes.dims.into_iter().try_for_each(|dim| self::dim(graph, dim))
}

/// Checks every whole number of an attribute object.
pub(super) fn numbers(value: &serde_json::Value) -> Lexed<()> {
    match value {
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) if !(-ATTRIBUTE..=ATTRIBUTE).contains(&whole) => {
                Err(ParseError::AttributeTooLarge { number: whole.to_string() })
            }
            (None, Some(whole)) => Err(ParseError::AttributeTooLarge { number: whole.to_string() }),
            _ => Ok(()),
        },
        // The depth is bounded by the JSON reader.
        serde_json::Value::Array(items) => items.iter().try_for_each(numbers),
        serde_json::Value::Object(object) => object.values().try_for_each(numbers),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => Ok(()),
    }
}

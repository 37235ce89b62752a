//! A change to a graph, as data: checked before it takes effect.

use crate::dtype::DType;
use crate::error::{GraphError, Result, RewriteError};
use crate::ir::{Graph, Op, ValueId};
use crate::weights::Weight;

/// Where an input of a new operation, or a replacement, comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A value that is there already.
    Value(ValueId),
    /// A value that the patch adds, by its position.
    New(usize),
}

impl From<ValueId> for Source {
    fn from(id: ValueId) -> Self {
        Source::Value(id)
    }
}

/// New values, and which old values they replace.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    new: Vec<New>,
    replacements: Vec<(ValueId, Source)>,
    unread: Vec<ValueId>,
}

#[derive(Clone, Debug)]
enum New {
    Op { op: Op, inputs: Vec<Source> },
    Param { name: String, dtype: DType, weight: Weight },
}

impl PartialEq for Patch {
    /// Patches are equal when they do the same; weights are compared by type and shape only.
    fn eq(&self, other: &Self) -> bool {
        let same = |pair: (&New, &New)| match pair {
            (New::Op { op, inputs }, New::Op { op: op2, inputs: inputs2 }) => op == op2 && inputs == inputs2,
            (New::Param { name, dtype, weight }, New::Param { name: name2, dtype: dtype2, weight: weight2 }) => {
                name == name2 && dtype == dtype2 && weight.dtype() == weight2.dtype() && weight.shape() == weight2.shape()
            }
            (New::Op { .. }, New::Param { .. }) | (New::Param { .. }, New::Op { .. }) => false,
        };
        self.replacements == other.replacements
            && self.unread == other.unread
            && self.new.len() == other.new.len()
            && self.new.iter().zip(&other.new).all(same)
    }
}

impl Patch {
    /// An empty change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation.
    pub fn op(&mut self, op: Op, inputs: &[Source]) -> Source {
        self.new.push(New::Op { op, inputs: inputs.to_vec() });
        Source::New(self.new.len() - 1)
    }

    /// Adds a parameter with data; its value has type `dtype` (`f32` or `i64`).
    pub fn param(&mut self, name: &str, dtype: DType, weight: Weight) -> Source {
        self.new.push(New::Param { name: name.into(), dtype, weight });
        Source::New(self.new.len() - 1)
    }

    /// Makes every reader of `old` read `new` instead.
    pub fn replace(mut self, old: ValueId, new: impl Into<Source>) -> Self {
        self.replacements.push((old, new.into()));
        self
    }

    /// Removes a value that nothing reads.
    pub fn remove(mut self, unread: ValueId) -> Self {
        self.unread.push(unread);
        self
    }

    /// Applies the change of the rule of that name at `at`; new operations inherit its origin.
    pub(super) fn commit(self, graph: &mut Graph, rule: &'static str, at: ValueId) -> Result<()> {
        let place = graph.value(at).origin.clone();
        let fail = |reason| GraphError::Rewrite { rule, origin: place.to_string(), reason };
        let refused = |error| fail(RewriteError::Graph(Box::new(error)));
        let suffix = format!(" <- {rule}");
        let origin = if place.ends_with(&suffix) { place.to_string() } else { format!("{place}{suffix}") };
        let mut added: Vec<ValueId> = Vec::new();
        let find = |graph: &Graph, added: &[ValueId], source: Source| match source {
            Source::Value(id) if graph.contains(id) => Ok(id),
            Source::Value(_) => Err(fail(RewriteError::NoValue)),
            Source::New(i) => added.get(i).copied().ok_or_else(|| fail(RewriteError::NotAdded)),
        };
        for new in self.new {
            let id = match new {
                New::Op { op, inputs } => {
                    let inputs: Vec<ValueId> =
                        inputs.into_iter().map(|input| find(graph, &added, input)).collect::<Result<_>>()?;
                    graph.push(op, &inputs, &origin).map_err(refused)?
                }
                New::Param { name, dtype, weight } => {
                    let shape = weight.shape().to_vec();
                    graph.param_of(&name, dtype, &shape, Some(weight)).map_err(refused)?
                }
            };
            added.push(id);
        }
        let mut unread = self.unread;
        for (old, new) in self.replacements {
            let (old, new) = (find(graph, &added, old.into())?, find(graph, &added, new)?);
            if new == old || graph.order_from(&[new]).contains(&old) {
                return Err(fail(RewriteError::ReadsItself));
            }
            graph.replace(old, new).map_err(refused)?;
            unread.push(old);
        }
        graph.remove_unread(&unread);
        Ok(())
    }
}

//! What a rewrite rule is.

use std::collections::{BTreeMap, BTreeSet};

use super::Patch;
use crate::ir::{Graph, Op, ValueId};

/// How the results before and after a rewrite may differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exactness {
    /// Not at all.
    Bitwise,
    /// By the rounding of another order of the same operations: `64 * eps * sqrt(terms)` of the largest element.
    Reassociates,
    /// By this much of the largest element; allowed only in families that the user opts into.
    Approx {
        /// The documented bound.
        bound: f64,
    },
}

/// What a rule says about one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The pattern is not here.
    No,
    /// The pattern is here, but a guard forbids the rewrite; the text names the guard.
    Refused(&'static str),
    /// The rewrite.
    Patch(Patch),
}

/// A graph on which a rule must not fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The graph, in [text form](crate::text).
    pub text: &'static str,
    /// The refusal that must be logged; `None` when the pattern itself is absent.
    pub refusal: Option<&'static str>,
}

/// A rewrite rule. One rule is one file, named as the rule.
pub trait Rule {
    /// Lower case with hyphens, shown in logs, snapshots and origins.
    fn name(&self) -> &'static str;
    /// How much results may differ.
    fn class(&self) -> Exactness;
    /// Looks at the value `site.at`, which is an operation or a parameter.
    fn apply(&self, site: &Site) -> Outcome;
    /// Graphs in text form on which the rule fires; before and after agree within the class.
    fn witnesses(&self) -> &'static [&'static str];
    /// Graphs that look alike, on which it must not fire.
    fn near_misses(&self) -> &'static [Miss];
}

/// One place of a graph, with what a rule may ask about its surroundings.
pub struct Site<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The value the rule looks at.
    pub at: ValueId,
    pub(super) facts: &'a Facts,
}

/// What is known about a whole graph between two changes.
pub(super) struct Facts {
    users: BTreeMap<ValueId, Vec<ValueId>>,
    marked: BTreeSet<ValueId>,
    outputs: BTreeSet<ValueId>,
}

impl Facts {
    pub(super) fn new(graph: &Graph) -> Self {
        Self {
            users: graph.users(),
            marked: graph.marks().values().copied().collect(),
            outputs: graph.outputs().iter().map(|output| output.value).collect(),
        }
    }
}

impl<'a> Site<'a> {
    /// The operation at the site and its inputs.
    pub fn op(&self) -> Option<(&'a Op, &'a [ValueId])> {
        self.graph.op(self.at)
    }

    /// The operations that read a value, one entry per use, in creation order.
    pub fn users(&self, id: ValueId) -> &'a [ValueId] {
        self.facts.users.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether nothing reads a value: no operation, output or mark.
    pub(crate) fn is_unread(&self, id: ValueId) -> bool {
        self.users(id).is_empty() && !self.facts.marked.contains(&id) && !self.facts.outputs.contains(&id)
    }

    /// Why a value between two matched operations cannot vanish, if so.
    pub fn keeps(&self, id: ValueId) -> Option<&'static str> {
        if self.facts.marked.contains(&id) {
            Some("the value between is marked")
        } else if self.facts.outputs.contains(&id) {
            Some("the value between is an output")
        } else if self.users(id).len() > 1 {
            Some("the value between has other users")
        } else {
            None
        }
    }
}

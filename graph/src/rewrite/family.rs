//! What a family of rules is.

use std::collections::BTreeSet;

use super::{Exactness, RewriteLog, Rule, apply};
use crate::error::Result;
use crate::ir::Graph;

/// Rules that are applied together: one folder, one entry of [`FAMILIES`](super::FAMILIES).
#[derive(Debug)]
pub struct Family {
    /// The folder's name, shown in messages.
    pub name: &'static str,
    /// The loosest class that a rule of it may have.
    pub exactness: Exactness,
    /// Whether it knows no target and keeps marks and trainable parameters, so that every pipeline applies it to every
    /// network. Any other family is applied where a target or the user names it.
    pub neutral: bool,
    /// The rules, in the order in which they are tried.
    pub rules: fn(&RewriteOptions) -> Vec<Box<dyn Rule>>,
}

impl Family {
    /// Applies the family's rules until none fires.
    ///
    /// # Errors
    /// When the graph does not verify, or a rule is defective.
    pub fn apply(&self, graph: &mut Graph, options: &RewriteOptions) -> Result<RewriteLog> {
        let rules = (self.rules)(options);
        let rules: Vec<&dyn Rule> = rules.iter().map(|rule| &**rule).collect();
        apply(graph, &rules)
    }
}

/// What a family may do to a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteOptions {
    /// The parameters that must stay what they are.
    pub trainable: Trainable,
}

/// Which parameters a later training may change: these are never folded into others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trainable {
    /// All of them.
    #[default]
    All,
    /// None of them: the graph is finished.
    Nothing,
    /// Those with these names.
    Named(BTreeSet<String>),
}

impl Trainable {
    /// Whether training may change this parameter.
    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Trainable::All => true,
            Trainable::Nothing => false,
            Trainable::Named(names) => names.contains(name),
        }
    }
}

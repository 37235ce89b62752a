//! What a family of rules did: the first thing to read when something did not fuse.

use std::collections::BTreeMap;
use std::fmt;

use crate::ir::Graph;

/// One rule at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The rule.
    pub rule: &'static str,
    /// The module path of the value it looked at.
    pub origin: String,
    /// Why it refused; `None` when it fired.
    pub refusal: Option<&'static str>,
}

/// Everything that one call of [`apply`](super::apply) did and did not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteLog {
    /// Rules that fired, in order.
    pub fired: Vec<Event>,
    /// Rules that still refuse in the finished graph, in its order.
    pub refused: Vec<Event>,
    /// Operations by name before, dead ones included.
    pub before: BTreeMap<&'static str, usize>,
    /// Operations by name after.
    pub after: BTreeMap<&'static str, usize>,
}

impl RewriteLog {
    /// How often a rule fired.
    pub fn count(&self, rule: &str) -> usize {
        self.fired.iter().filter(|event| event.rule == rule).count()
    }

    pub(super) fn count_ops(graph: &Graph) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (op, _) in graph.values().filter_map(|(id, _)| graph.op(id)) {
            *counts.entry(op.name()).or_insert(0) += 1;
        }
        counts
    }
}

impl fmt::Display for RewriteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "operations {} -> {}", self.before.values().sum::<usize>(), self.after.values().sum::<usize>())?;
        let mut names: Vec<_> = self.before.keys().chain(self.after.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let count = |counts: &BTreeMap<_, usize>| counts.get(name).copied().unwrap_or(0);
            let (before, after) = (count(&self.before), count(&self.after));
            if before != after {
                writeln!(f, "  {name} {before} -> {after}")?;
            }
        }
        for event in &self.fired {
            writeln!(f, "fired {} at {}", event.rule, event.origin)?;
        }
        for event in &self.refused {
            writeln!(f, "refused {} at {}: {}", event.rule, event.origin, event.refusal.unwrap_or_default())?;
        }
        Ok(())
    }
}

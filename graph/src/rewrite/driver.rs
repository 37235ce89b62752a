//! Applies rules to a fixpoint, in an order that depends on the graph alone.

use super::rule::Facts;
use super::{Event, Outcome, RewriteLog, Rule, Site};
use crate::error::{GraphError, Result, RewriteError};
use crate::ir::{Def, Graph, ValueId};

/// Applications allowed per value of the graph: a family that needs more does not end.
const CAP: usize = 10;

/// Applies the rules until none fires, each at every operation and parameter; earlier rules go first.
///
/// # Errors
/// When a rule's patch does not fit its place or the rules do not come to an end, which are defects of the rules, or when
/// the graph does not verify before or after.
pub fn apply(graph: &mut Graph, rules: &[&dyn Rule]) -> Result<RewriteLog> {
    graph.verify()?;
    let mut log = RewriteLog { before: RewriteLog::count_ops(graph), ..RewriteLog::default() };
    let cap = CAP * graph.values().count().max(1);
    let mut facts = Facts::new(graph);
    loop {
        log.refused.clear();
        let fired = log.fired.len();
        for id in worklist(graph) {
            for &rule in rules {
                visit(graph, &mut facts, rule, id, &mut log)?;
                if log.fired.len() > cap {
                    let origin = log.fired.last().map(|event| event.origin.clone()).unwrap_or_default();
                    let reason = RewriteError::Endless { limit: cap };
                    return Err(GraphError::Rewrite { rule: rule.name(), origin, reason });
                }
            }
        }
        if log.fired.len() == fired {
            break;
        }
    }
    log.after = RewriteLog::count_ops(graph);
    graph.verify()?;
    Ok(log)
}

/// Live operations in topological order, then dead ones from the last to the first, then parameters by name.
fn worklist(graph: &Graph) -> Vec<ValueId> {
    let live = graph.order();
    let mut seen = live.clone();
    seen.sort_unstable();
    let is_op = |id: &ValueId| graph.op(*id).is_some();
    let mut dead: Vec<ValueId> =
        graph.values().map(|(id, _)| id).filter(is_op).filter(|id| seen.binary_search(id).is_err()).collect();
    dead.reverse();
    live.into_iter().chain(dead).chain(graph.params().values().map(|param| param.value)).collect()
}

fn visit(graph: &mut Graph, facts: &mut Facts, rule: &dyn Rule, at: ValueId, log: &mut RewriteLog) -> Result<()> {
    if !graph.contains(at) || matches!(graph.value(at).def, Def::Input(_)) {
        return Ok(());
    }
    let origin = graph.value(at).origin.to_string();
    match rule.apply(&Site { graph, at, facts }) {
        Outcome::No => {}
        Outcome::Refused(reason) => log.refused.push(Event { rule: rule.name(), origin, refusal: Some(reason) }),
        Outcome::Patch(patch) => {
            patch.commit(graph, rule.name(), at)?;
            *facts = Facts::new(graph);
            log.fired.push(Event { rule: rule.name(), origin, refusal: None });
        }
    }
    Ok(())
}

//! Rewrites: rules with named refusals, applied to a fixpoint in a fixed order, and a log of what happened.
//!
//! A [`Rule`] looks at one value and answers with a [`Patch`], a named refusal, or nothing. Only [`apply`] changes the
//! graph: it checks every patch (types equal, no cycle) before it takes effect, and verifies the graph at the end. Rules
//! come in families, one folder each; [`FAMILIES`] lists them for the pipelines and for the tests.

mod driver;
mod family;
mod log;
mod patch;
mod rule;
mod simplify;

pub use driver::apply;
pub use family::{Family, RewriteOptions, Trainable};
pub use log::{Event, RewriteLog};
pub use patch::{Patch, Source};
pub use rule::{Exactness, Miss, Outcome, Rule, Site};
pub use simplify::SIMPLIFY;

use crate::error::Result;
use crate::ir::Graph;

/// Every family, in the order in which pipelines apply them. The tests hold each rule of each family to its witnesses, its
/// near misses and its snapshot.
pub const FAMILIES: &[&Family] = &[&SIMPLIFY];

/// Applies every neutral family: what a network goes through before it is compiled.
///
/// # Errors
/// When the graph does not verify, or a rule is defective.
pub fn apply_neutral(graph: &mut Graph, options: &RewriteOptions) -> Result<()> {
    FAMILIES.iter().filter(|family| family.neutral).try_for_each(|family| family.apply(graph, options).map(drop))
}

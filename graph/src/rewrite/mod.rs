//! Rewrites: rules with named refusals, applied to a fixpoint in a fixed order, and a log of what happened.
//!
//! A [`Rule`] looks at one value and answers with a [`Patch`], a named refusal, or nothing. Only [`apply`] changes the
//! graph: it checks every patch (types equal, no cycle) before it takes effect, and verifies the graph at the end.

mod driver;
mod log;
mod patch;
mod rule;
pub mod simplify;

pub use driver::apply;
pub use log::{Event, RewriteLog};
pub use patch::{Patch, Source};
pub use rule::{Exactness, Miss, Outcome, Rule, Site};
pub use simplify::{SimplifyOptions, Trainable, simplify, simplify_with};

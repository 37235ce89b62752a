//! Target-neutral rewrites that make a graph smaller without changing what it computes.

mod affine_of_affine;
mod cast_of_same_type;
mod common_subexpression;
mod dead_code;
mod fold_constants;
mod fuse_group_norm_silu;
mod identity_permute;
mod identity_reshape;

use std::collections::BTreeSet;

pub use affine_of_affine::AffineOfAffine;
pub use cast_of_same_type::CastOfSameType;
pub use common_subexpression::CommonSubexpression;
pub use dead_code::DeadCode;
pub use fold_constants::FoldConstants;
pub use fuse_group_norm_silu::FuseGroupNormSilu;
pub use identity_permute::IdentityPermute;
pub use identity_reshape::IdentityReshape;

use super::{RewriteLog, Rule, apply};
use crate::error::Result;
use crate::ir::Graph;

/// Which parameters a later training may change: these are never folded into others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trainable {
    /// All of them.
    #[default]
    All,
    /// None of them: the graph is finished, as for export.
    Nothing,
    /// Those with these names.
    Named(BTreeSet<String>),
}

impl Trainable {
    /// Whether training may change this parameter.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Trainable::All => true,
            Trainable::Nothing => false,
            Trainable::Named(names) => names.contains(name),
        }
    }
}

/// What [`simplify_with`] may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimplifyOptions {
    /// The parameters that must stay what they are.
    pub trainable: Trainable,
}

/// Simplifies a graph whose parameters may all be trained later.
///
/// # Errors
/// When the graph does not verify, or a rule is defective.
pub fn simplify(graph: &mut Graph) -> Result<RewriteLog> {
    simplify_with(graph, &SimplifyOptions::default())
}

/// Simplifies a graph.
///
/// # Errors
/// When the graph does not verify, or a rule is defective.
pub fn simplify_with(graph: &mut Graph, options: &SimplifyOptions) -> Result<RewriteLog> {
    let rules = rules(options);
    let rules: Vec<&dyn Rule> = rules.iter().map(|rule| &**rule).collect();
    apply(graph, &rules)
}

/// The rules of this family, in the order in which they are tried.
pub fn rules(options: &SimplifyOptions) -> Vec<Box<dyn Rule>> {
    vec![
        Box::new(DeadCode),
        Box::new(CastOfSameType),
        Box::new(IdentityReshape),
        Box::new(IdentityPermute),
        Box::new(CommonSubexpression),
        Box::new(AffineOfAffine),
        Box::new(FuseGroupNormSilu),
        Box::new(FoldConstants { trainable: options.trainable.clone() }),
    ]
}

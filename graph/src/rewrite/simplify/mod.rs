//! Target-neutral rewrites that make a graph smaller without changing what it computes.

mod affine_of_affine;
mod cast_of_same_type;
mod common_subexpression;
mod dead_code;
mod fold_constants;
mod fuse_group_norm_silu;
mod identity_permute;
mod identity_reshape;

use affine_of_affine::AffineOfAffine;
use cast_of_same_type::CastOfSameType;
use common_subexpression::CommonSubexpression;
use dead_code::DeadCode;
use fold_constants::FoldConstants;
use fuse_group_norm_silu::FuseGroupNormSilu;
use identity_permute::IdentityPermute;
use identity_reshape::IdentityReshape;

use super::{Exactness, Family, RewriteOptions, Rule};

/// The family.
pub const SIMPLIFY: Family = Family { name: "simplify", exactness: Exactness::Reassociates, neutral: true, rules };

fn rules(options: &RewriteOptions) -> Vec<Box<dyn Rule>> {
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

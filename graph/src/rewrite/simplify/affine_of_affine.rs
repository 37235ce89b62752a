//! `affine-of-affine`: two scalar scalings in a row are one.

use crate::ir::Op;
use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site};

/// `(x * a + b) * c + d` becomes `x * (a c) + (b c + d)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct AffineOfAffine;

impl Rule for AffineOfAffine {
    fn name(&self) -> &'static str {
        "affine-of-affine"
    }

    fn class(&self) -> Exactness {
        Exactness::Reassociates
    }

    fn apply(&self, site: &Site) -> Outcome {
        let Some((Op::Affine { mul: outer, add: last }, &[x])) = site.op() else { return Outcome::No };
        let Some((Op::Affine { mul: inner, add: first }, &[source])) = site.graph.op(x) else { return Outcome::No };
        if let Some(reason) = site.keeps(x) {
            return Outcome::Refused(reason);
        }
        let (mul, add) = (inner * outer, first * outer + last);
        if !mul.is_finite() || !add.is_finite() {
            return Outcome::Refused("the merged factor or offset is not finite");
        }
        let mut patch = Patch::new();
        let merged = patch.op(Op::Affine { mul, add }, &[source.into()]);
        Outcome::Patch(patch.replace(site.at, merged))
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &["graph 1 range\ninput %0 x : f32[2, 3]\n%1 = affine %0 {\"mul\":2.0,\"add\":-1.0} : f32[2, 3]  # to -1..1\n\
           %2 = affine %1 {\"mul\":0.3,\"add\":0.7} : f32[2, 3]  # scaled\noutput y %2\n"]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss {
                text: "graph 1 marked\ninput %0 x : f32[2]\n%1 = affine %0 {\"mul\":2.0,\"add\":-1.0} : f32[2]\n\
                       %2 = affine %1 {\"mul\":0.3,\"add\":0.7} : f32[2]\nmark first %1\noutput y %2\n",
                refusal: Some("the value between is marked"),
            },
            Miss {
                text: "graph 1 output\ninput %0 x : f32[2]\n%1 = affine %0 {\"mul\":2.0,\"add\":-1.0} : f32[2]\n\
                       %2 = affine %1 {\"mul\":0.3,\"add\":0.7} : f32[2]\noutput first %1\noutput y %2\n",
                refusal: Some("the value between is an output"),
            },
            Miss {
                text: "graph 1 huge\ninput %0 x : f32[2]\n%1 = affine %0 {\"mul\":1e200,\"add\":0.0} : f32[2]\n\
                       %2 = affine %1 {\"mul\":1e200,\"add\":0.0} : f32[2]\noutput y %2\n",
                refusal: Some("the merged factor or offset is not finite"),
            },
        ]
    }
}

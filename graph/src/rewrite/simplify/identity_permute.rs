//! `identity-permute`: permutations that change nothing, and permutations of permutations.

use crate::ir::Op;
use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site};

/// Removes the permutation that keeps the order; two permutations become one.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdentityPermute;

impl Rule for IdentityPermute {
    fn name(&self) -> &'static str {
        "identity-permute"
    }

    fn class(&self) -> Exactness {
        Exactness::Bitwise
    }

    fn apply(&self, site: &Site) -> Outcome {
        let Some((Op::Permute { axes }, &[x])) = site.op() else { return Outcome::No };
        if axes.iter().copied().eq(0..axes.len()) {
            return Outcome::Patch(Patch::new().replace(site.at, x));
        }
        let Some((Op::Permute { axes: inner }, &[source])) = site.graph.op(x) else { return Outcome::No };
        if let Some(reason) = site.keeps(x) {
            // One permutation of the source and one of the value between move as much data as two in a row.
            return Outcome::Refused(reason);
        }
        let mut patch = Patch::new();
        let axes = axes.iter().filter_map(|&axis| inner.get(axis).copied()).collect();
        let merged = patch.op(Op::Permute { axes }, &[source.into()]);
        Outcome::Patch(patch.replace(site.at, merged))
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &[
            "graph 1 same\ninput %0 x : f32[2, 3]\n%1 = permute %0 {\"axes\":[0,1]} : f32[2, 3]  # keep\n\
             %2 = silu %1 : f32[2, 3]  # act\noutput y %2\n",
            "graph 1 twice\ninput %0 x : f32[2, 3, 4]\n%1 = permute %0 {\"axes\":[2,0,1]} : f32[4, 2, 3]  # first\n\
             %2 = permute %1 {\"axes\":[1,0,2]} : f32[2, 4, 3]  # second\noutput y %2\n",
            "graph 1 back\ninput %0 x : f32[2, 3, 4]\n%1 = permute %0 {\"axes\":[2,0,1]} : f32[4, 2, 3]  # there\n\
             %2 = permute %1 {\"axes\":[1,2,0]} : f32[2, 3, 4]  # back\n%3 = neg %2 : f32[2, 3, 4]  # neg\noutput y %3\n",
        ]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss {
                text: "graph 1 marked\ninput %0 x : f32[2, 3, 4]\n%1 = permute %0 {\"axes\":[2,0,1]} : f32[4, 2, 3]\n\
                       %2 = permute %1 {\"axes\":[1,0,2]} : f32[2, 4, 3]\nmark first %1\noutput y %2\n",
                refusal: Some("the value between is marked"),
            },
            Miss {
                text: "graph 1 read\ninput %0 x : f32[2, 3, 4]\n%1 = permute %0 {\"axes\":[2,0,1]} : f32[4, 2, 3]\n\
                       %2 = permute %1 {\"axes\":[1,0,2]} : f32[2, 4, 3]\n%3 = silu %1 : f32[4, 2, 3]\noutput y %2\noutput z %3\n",
                refusal: Some("the value between has other users"),
            },
            Miss {
                text: "graph 1 square\ninput %0 x : f32[3, 3]\n%1 = permute %0 {\"axes\":[1,0]} : f32[3, 3]\noutput y %1\n",
                refusal: None,
            },
        ]
    }
}

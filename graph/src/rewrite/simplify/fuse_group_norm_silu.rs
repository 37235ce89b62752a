//! `fuse-group-norm-silu`: the pair that every diffusion block has becomes one operation with one kernel.

use crate::ir::Op;
use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site};

/// `silu(group_norm(x))` becomes `group_norm(x)` with the activation inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct FuseGroupNormSilu;

impl Rule for FuseGroupNormSilu {
    fn name(&self) -> &'static str {
        "fuse-group-norm-silu"
    }

    fn class(&self) -> Exactness {
        Exactness::Bitwise
    }

    fn apply(&self, site: &Site) -> Outcome {
        let Some((Op::Silu, &[normed])) = site.op() else { return Outcome::No };
        let Some((Op::GroupNorm { groups, eps, silu: false }, &[x, weight, bias])) = site.graph.op(normed) else {
            return Outcome::No;
        };
        if let Some(reason) = site.keeps(normed) {
            return Outcome::Refused(reason);
        }
        let mut patch = Patch::new();
        let op = Op::GroupNorm { groups: *groups, eps: *eps, silu: true };
        let fused = patch.op(op, &[x.into(), weight.into(), bias.into()]);
        Outcome::Patch(patch.replace(site.at, fused))
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &["graph 1 block\ninput %0 x : f32[2, 4, 3, 3]\nparam norm.bias : f32[4]\nparam norm.weight : f32[4]\n\
           %1 = group_norm %0 @norm.weight @norm.bias {\"groups\":2,\"eps\":1e-5,\"silu\":false} : f32[2, 4, 3, 3]  # norm\n\
           %2 = silu %1 : f32[2, 4, 3, 3]  # act\nmark act %2\noutput y %2\n"]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss {
                text: "graph 1 marked\ninput %0 x : f32[2, 4, 3, 3]\nparam b : f32[4]\nparam w : f32[4]\n\
                       %1 = group_norm %0 @w @b {\"groups\":2,\"eps\":1e-5,\"silu\":false} : f32[2, 4, 3, 3]\n\
                       %2 = silu %1 : f32[2, 4, 3, 3]\nmark norm %1\noutput y %2\n",
                refusal: Some("the value between is marked"),
            },
            Miss {
                text: "graph 1 read\ninput %0 x : f32[2, 4, 3, 3]\nparam b : f32[4]\nparam w : f32[4]\n\
                       %1 = group_norm %0 @w @b {\"groups\":2,\"eps\":1e-5,\"silu\":false} : f32[2, 4, 3, 3]\n\
                       %2 = silu %1 : f32[2, 4, 3, 3]\n%3 = add %1 %2 : f32[2, 4, 3, 3]\noutput y %3\n",
                refusal: Some("the value between has other users"),
            },
            Miss {
                text: "graph 1 activated\ninput %0 x : f32[2, 4, 3, 3]\nparam b : f32[4]\nparam w : f32[4]\n\
                       %1 = group_norm %0 @w @b {\"groups\":2,\"eps\":1e-5,\"silu\":true} : f32[2, 4, 3, 3]\n\
                       %2 = silu %1 : f32[2, 4, 3, 3]\noutput y %2\n",
                refusal: None,
            },
        ]
    }
}

//! `common-subexpression`: the same operation on the same inputs is computed once.

use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site};

/// Replaces an operation by an equal one that was made before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommonSubexpression;

impl Rule for CommonSubexpression {
    fn name(&self) -> &'static str {
        "common-subexpression"
    }

    fn class(&self) -> Exactness {
        Exactness::Bitwise
    }

    fn apply(&self, site: &Site) -> Outcome {
        let Some((op, inputs)) = site.op() else { return Outcome::No };
        // Equal operations read the same values, so the users of one input are all candidates. A mark or output of the
        // replaced operation moves to the one that stays.
        let candidates = inputs.first().map(|&first| site.users(first)).unwrap_or_default();
        match candidates.iter().copied().find(|&other| site.graph.op(other) == Some((op, inputs))) {
            Some(first) if first < site.at => Outcome::Patch(Patch::new().replace(site.at, first)),
            _ => Outcome::No,
        }
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &[
            "graph 1 twice\ninput %0 x : f32[2, 3]\n%1 = silu %0 : f32[2, 3]  # a\n%2 = silu %0 : f32[2, 3]  # b\n\
             %3 = add %1 %2 : f32[2, 3]  # sum\nmark a %1\nmark b %2\noutput y %3\n",
            "graph 1 chain\ninput %0 x : f32[2, 3]\nparam w : f32[4, 3]\n%1 = linear %0 @w : f32[2, 4]  # a\n\
             %2 = linear %0 @w : f32[2, 4]  # b\n%3 = tanh %1 : f32[2, 4]  # a.act\n%4 = tanh %2 : f32[2, 4]  # b.act\n\
             %5 = mul %3 %4 : f32[2, 4]  # product\noutput y %5\n",
        ]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss {
                text: "graph 1 attributes\ninput %0 x : f32[2]\n%1 = gelu %0 {\"tanh\":true} : f32[2]\n\
                       %2 = gelu %0 {\"tanh\":false} : f32[2]\n%3 = add %1 %2 : f32[2]\noutput y %3\n",
                refusal: None,
            },
            Miss {
                text: "graph 1 order\ninput %0 x : f32[2]\ninput %1 z : f32[2]\n%2 = sub %0 %1 : f32[2]\n\
                       %3 = sub %1 %0 : f32[2]\n%4 = mul %2 %3 : f32[2]\noutput y %4\n",
                refusal: None,
            },
            Miss {
                text: "graph 1 weights\ninput %0 x : f32[2, 3]\nparam k : f32[3, 3]\nparam q : f32[3, 3]\n\
                       %1 = linear %0 @k : f32[2, 3]\n%2 = linear %0 @q : f32[2, 3]\n%3 = mul %1 %2 : f32[2, 3]\noutput y %3\n",
                refusal: None,
            },
        ]
    }
}

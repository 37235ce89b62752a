//! `dead-code`: what neither outputs nor marks need goes away.

use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site};

/// Removes an operation or parameter that nothing reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadCode;

impl Rule for DeadCode {
    fn name(&self) -> &'static str {
        "dead-code"
    }

    fn class(&self) -> Exactness {
        Exactness::Bitwise
    }

    fn apply(&self, site: &Site) -> Outcome {
        if site.is_unread(site.at) { Outcome::Patch(Patch::new().remove(site.at)) } else { Outcome::No }
    }

    fn witnesses(&self) -> &'static [&'static str] {
        // Text keeps no operation that nothing reads; parameters it does keep.
        &["graph 1 unused\ninput %0 x : f32[2, 3]\nparam unused : f32[4]\n%1 = silu %0 : f32[2, 3]  # act\noutput y %1\n"]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss { text: "graph 1 output\ninput %0 x : f32[2]\nparam shown : f32[2]\noutput y @shown\n", refusal: None },
            Miss {
                text: "graph 1 marked\ninput %0 x : f32[2]\nparam kept : f32[2]\nmark kept @kept\noutput y %0\n",
                refusal: None,
            },
            Miss { text: "graph 1 input\ninput %0 x : f32[2]\ninput %1 unread : f32[2]\noutput y %0\n", refusal: None },
        ]
    }
}

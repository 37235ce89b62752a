//! `identity-reshape`: reshapes that change nothing, and reshapes of reshapes.

use crate::ir::{Op, Type};
use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site};

/// Removes a reshape to the shape that a value has already; of two reshapes the last decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdentityReshape;

impl Rule for IdentityReshape {
    fn name(&self) -> &'static str {
        "identity-reshape"
    }

    fn class(&self) -> Exactness {
        Exactness::Bitwise
    }

    fn apply(&self, site: &Site) -> Outcome {
        let Some((Op::Reshape { shape }, &[x])) = site.op() else { return Outcome::No };
        let Type { shape: given, .. } = &site.graph.value(x).ty;
        if given == shape {
            return Outcome::Patch(Patch::new().replace(site.at, x));
        }
        // The inner reshape stays if something else needs it: a reshape costs nothing.
        let Some((Op::Reshape { .. }, &[inner])) = site.graph.op(x) else { return Outcome::No };
        let mut patch = Patch::new();
        let merged = patch.op(Op::Reshape { shape: shape.clone() }, &[inner.into()]);
        Outcome::Patch(patch.replace(site.at, merged))
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &[
            "graph 1 same\nsymbol b 2 \"batch\"\ninput %0 x : f32[b, 6]\n%1 = reshape %0 {\"shape\":[\"b\",6]} : f32[b, 6]  # view\n\
             %2 = silu %1 : f32[b, 6]  # act\noutput y %2\n",
            "graph 1 twice\nsymbol b 2 \"batch\"\ninput %0 x : f32[b, 6]\n\
             %1 = reshape %0 {\"shape\":[\"b\",2,3]} : f32[b, 2, 3]  # split\n\
             %2 = reshape %1 {\"shape\":[\"b\",3,2]} : f32[b, 3, 2]  # merge\nmark split %1\noutput y %2\n",
            "graph 1 back\ninput %0 x : f32[6]\n%1 = reshape %0 {\"shape\":[2,3]} : f32[2, 3]  # there\n\
             %2 = reshape %1 {\"shape\":[6]} : f32[6]  # back\n%3 = neg %2 : f32[6]  # neg\noutput y %3\n",
        ]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss {
                text: "graph 1 once\ninput %0 x : f32[6]\n%1 = reshape %0 {\"shape\":[2,3]} : f32[2, 3]\noutput y %1\n",
                refusal: None,
            },
            Miss {
                text: "graph 1 between\ninput %0 x : f32[6]\n%1 = reshape %0 {\"shape\":[2,3]} : f32[2, 3]\n\
                       %2 = permute %1 {\"axes\":[1,0]} : f32[3, 2]\n%3 = reshape %2 {\"shape\":[6]} : f32[6]\noutput y %3\n",
                refusal: None,
            },
        ]
    }
}

//! `cast-of-same-type`: a cast to the type that a value has already does nothing.

use crate::ir::Op;
use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site};

/// Removes `cast(x)` to the type of `x`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CastOfSameType;

impl Rule for CastOfSameType {
    fn name(&self) -> &'static str {
        "cast-of-same-type"
    }

    fn class(&self) -> Exactness {
        Exactness::Bitwise
    }

    fn apply(&self, site: &Site) -> Outcome {
        let Some((Op::Cast { dtype }, &[x])) = site.op() else { return Outcome::No };
        if site.graph.value(x).ty.dtype == *dtype { Outcome::Patch(Patch::new().replace(site.at, x)) } else { Outcome::No }
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &["graph 1 same\ninput %0 ids : i64[2]\n%1 = cast %0 {\"dtype\":\"i64\"} : i64[2]  # ids\n\
           %2 = reshape %1 {\"shape\":[1,2]} : i64[1, 2]  # row\nmark ids %1\noutput y %2\n"]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss {
                text: "graph 1 narrower\ninput %0 x : f32[2]\n%1 = cast %0 {\"dtype\":\"f16\"} : f16[2]\noutput y %1\n",
                refusal: None,
            },
            // Narrowing and widening again loses digits, so the pair is not an identity.
            Miss {
                text: "graph 1 both\ninput %0 x : f32[2]\n%1 = cast %0 {\"dtype\":\"bf16\"} : bf16[2]\n\
                       %2 = cast %1 {\"dtype\":\"f32\"} : f32[2]\noutput y %2\n",
                refusal: None,
            },
        ]
    }
}

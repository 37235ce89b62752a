//! Latent adversarial diffusion distillation.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::LaddPhase;
pub use section::Ladd;

use super::{Method, Need, Student};
use crate::recipe::{Section, SectionEntry};

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Ladd>(),
    needs: |_| &[Need::Pairs],
    student: Student::Unchanged,
    choices: &[
        ("ladd_first_time", "pure noise instead of a noised latent, as in the student's walk"),
        ("ladd_head_reduce", "mean over heads and positions"),
        ("ladd_noise", "the same t' for real and fake, independent noise"),
        (
            "ladd_times",
            "t' logit-normal over the teacher's process: sigma of the straight path, equally wide shares of a table's whole times",
        ),
        ("ladd_update_order", "generator, heads"),
    ],
    replay: replay::run,
    build: |materials, mut given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        let pairs = given.pairs(Ladd::NAME)?;
        Ok(Box::new(LaddPhase::new(section, materials, given.conditions, pairs, given.previous)?))
    },
};

//! Adversarial distillation pre-training.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::AdpPhase;
pub use section::{Adp, StudentParameterisation};

use super::{Method, Need, Student};
use crate::recipe::{Section, SectionEntry};

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Adp>(),
    needs: |_| &[Need::Pairs],
    student: Student::OnLine,
    choices: &[("eq9_sign", "both terms negative: the generator raises both discriminators")],
    replay: replay::run,
    build: |materials, mut given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        Ok(Box::new(AdpPhase::new(section, materials, given.conditions, given.pairs(Adp::NAME)?)?))
    },
};

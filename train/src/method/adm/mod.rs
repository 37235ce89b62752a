//! Adversarial distribution matching.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::AdmPhase;
pub use section::{Adm, AdmGradient, FakeTrainSource, GuidanceDraw};

use super::{Method, Student};
use crate::recipe::SectionEntry;

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Adm>(),
    needs: &[],
    student: Student::Unchanged,
    replay: replay::run,
    build: |materials, given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        Ok(Box::new(AdmPhase::new(section, materials, given.conditions, given.previous)?))
    },
};

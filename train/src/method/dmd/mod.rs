//! Distribution matching distillation.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::DmdPhase;
pub use section::Dmd;

use super::{Method, Student};
use crate::recipe::SectionEntry;

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Dmd>(),
    needs: |_| &[],
    student: Student::Unchanged,
    choices: &[
        ("dmd_times", "t_f uniform on the whole schedule, t uniform in [t_min, t_max]"),
        ("dmd_normaliser", "the mean over a sample's elements of |x0_hat - mu_real|"),
        ("dmd_fake_score_start", "the teacher's weights"),
        ("dmd_update_order", "fake score, generator"),
    ],
    replay: replay::run,
    build: |materials, given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        Ok(Box::new(DmdPhase::new(section, materials, given.conditions, given.previous)?))
    },
};

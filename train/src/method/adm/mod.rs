//! Adversarial distribution matching.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::AdmPhase;
pub use section::{Adm, AdmGradient};

use super::{Method, Student};
use crate::recipe::SectionEntry;

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Adm>(),
    needs: |_| &[],
    student: Student::Unchanged,
    choices: &[
        ("adm_times", "t_f uniform on the whole schedule, t uniform in [t_min + dt_steps, t_max]"),
        ("adm_head_reduce", "mean over heads and positions"),
        ("fake_score_start", "the teacher's weights"),
        ("heads_of_adm", "new ones, not those of ADP"),
        ("update_order_adm", "fake score, generator, heads"),
    ],
    replay: replay::run,
    build: |materials, given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        Ok(Box::new(AdmPhase::new(section, materials, given.conditions, given.previous)?))
    },
};

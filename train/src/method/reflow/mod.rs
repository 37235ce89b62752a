//! The rectified-flow baseline: the student learns the straight line between the ends of the teacher's pairs.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::ReflowPhase;
pub use section::Reflow;

use super::{Method, Need, Student};
use crate::recipe::{Section, SectionEntry};

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Reflow>(),
    needs: |_| &[Need::Pairs],
    student: Student::OnLine,
    choices: &[("reflow_times", "uniform on the line")],
    replay: replay::run,
    build: |materials, mut given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        Ok(Box::new(ReflowPhase::new(section, materials, given.conditions, given.pairs(Reflow::NAME)?)?))
    },
};

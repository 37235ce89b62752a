//! Latent consistency distillation.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::LcmPhase;
pub use section::Lcm;

use super::{Method, Need, Student};
use crate::recipe::{Section, SectionEntry};

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Lcm>(),
    needs: &[Need::Pairs],
    student: Student::Consistency,
    choices: &[
        ("lcm_boundary", "c_skip and c_out with sigma_data 0.5 where a noise table begins, none on the straight path"),
        ("lcm_data", "the teacher's latents of the pairs"),
        ("lcm_guidance", "drawn from the teacher's range for every sample; the student is not told"),
        ("lcm_target", "the moving average of the student, taken after its update"),
        ("lcm_times", "uniform among the solver's"),
    ],
    replay: replay::run,
    build: |materials, mut given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        let pairs = given.pairs(Lcm::NAME)?;
        Ok(Box::new(LcmPhase::new(section, materials, given.conditions, pairs, given.previous)?))
    },
};

//! Latent consistency distillation.

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::{Clean, LcmPhase};
pub use section::{Lcm, LcmData};

use super::{Method, Need, Student};
use crate::recipe::{Section, SectionEntry};

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Lcm>(),
    needs: |recipe| match recipe.section::<Lcm>() {
        Ok(Some(Lcm { data: LcmData::Latents, .. })) => &[Need::Latents],
        _ => &[Need::Pairs],
    },
    student: Student::Consistency,
    choices: &[
        ("lcm_boundary", "c_skip and c_out with sigma_data 0.5 where a noise table begins, none on the straight path"),
        ("lcm_guidance", "drawn from the teacher's range for every sample; the student is not told"),
        ("lcm_target", "the moving average of the student, taken after its update"),
        ("lcm_times", "uniform among the solver's"),
    ],
    replay: replay::run,
    build: |materials, mut given| {
        let section: Lcm = materials.recipe.section()?.unwrap_or_default();
        let clean = match section.data {
            LcmData::Pairs => Clean::Pairs(given.pairs(Lcm::NAME)?),
            LcmData::Latents => Clean::Real(given.latents(Lcm::NAME)?),
        };
        Ok(Box::new(LcmPhase::new(section, materials, given.conditions, (given.previous, clean))?))
    },
};

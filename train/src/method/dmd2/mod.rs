//! Distribution matching distillation with a classifier on real latents (DMD2).

mod phase;
mod replay;
mod section;
pub mod step;

pub use phase::Dmd2Phase;
pub use section::Dmd2;

use super::{Method, Need, Student};
use crate::recipe::{Section, SectionEntry};

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Dmd2>(),
    needs: |_| &[Need::Latents],
    student: Student::Unchanged,
    choices: &[
        ("dmd2_update_order", "generator by the old fake score and classifier, then both of them on the same samples"),
        ("dmd2_times", "t uniform in [t_min, t_max]; of the fake score and of the classifier uniform on the whole schedule"),
        ("dmd2_noises", "times and noises of fake and real samples are independent"),
        ("dmd2_real_condition", "their own captions; sizes as those of the student's pictures"),
        ("dmd2_normaliser", "the mean over a sample's elements of |x0_hat - mu_real|"),
        ("dmd2_fake_score_start", "the teacher's weights"),
        ("dmd2_optimizer", "no first moment, as everywhere here; the published code keeps one (beta1 0.9)"),
    ],
    replay: replay::run,
    build: |materials, mut given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        let real = given.latents(Dmd2::NAME)?;
        Ok(Box::new(Dmd2Phase::new(section, materials, given.conditions, (given.previous, real))?))
    },
};

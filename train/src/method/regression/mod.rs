//! The regression that DMD2 begins a one-step student with: it learns what the teacher makes of the same noise.

mod perceptual;
mod phase;
mod replay;
mod section;
pub mod step;
pub(super) mod vgg;

pub use perceptual::{Perceptual, Pooling};
pub use phase::RegressionPhase;
pub use section::{Regression, RegressionLoss};

use super::{Method, Need, Student};
use crate::recipe::{Section, SectionEntry};

/// The entry of the list of methods.
pub const METHOD: Method = Method {
    section: SectionEntry::of::<Regression>(),
    needs: |_| &[Need::Pairs],
    student: Student::Unchanged,
    choices: &[
        ("regression_pictures", "of the teacher's own decoder, neither clamped nor resized"),
        ("regression_norm", "features over the root of (their squares' sum over channels + 1e-10)"),
    ],
    replay: replay::run,
    build: |materials, mut given| {
        let section = materials.recipe.section()?.unwrap_or_default();
        let pairs = given.pairs(Regression::NAME)?;
        Ok(Box::new(RegressionPhase::new(section, materials, given.conditions, (given.previous, pairs))?))
    },
};

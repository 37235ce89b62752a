//! The teacher of a recipe and what the job knows of it.

use std::path::PathBuf;

use dmdx_runtime::manifest::GuidanceRange;
use dmdx_runtime::score::Scorer;

use super::real::Real;
use crate::data::Prompts;
use crate::diffusion::Generator;
use crate::discriminator::FeatureLayout;
use crate::error::TrainError;
use crate::method::{self, Materials};
use crate::recipe::LoadedRecipe;
use crate::student::Init;
use crate::teacher::Teacher;

/// Everything that a recipe's job runs.
pub struct Distillation {
    pub(super) loaded: LoadedRecipe,
    pub(super) path: PathBuf,
    pub(super) prompts: Prompts,
    pub(super) prompts_sha256: String,
    /// The prompts, and behind them the captions of real latents: all that is embedded.
    pub(super) texts: Prompts,
    pub(super) texts_sha256: String,
    /// There where a method learns from real latents.
    pub(super) real: Option<Real>,
    pub(super) teacher: Teacher,
    pub(super) taps: Vec<String>,
    pub(super) layout: FeatureLayout,
    pub(super) teacher_hash: String,
    /// There where the recipe has the student begin with another than the teacher.
    pub(super) init: Option<Init>,
    /// There where the recipe asks for a score.
    pub(super) scorer: Option<Box<dyn Scorer>>,
}

impl Distillation {
    /// The recipe, with what it leaves to the student that it begins with.
    pub fn recipe(&self) -> &LoadedRecipe {
        &self.loaded
    }

    /// What the methods make their roles from.
    pub fn materials(&self) -> Materials<'_> {
        Materials {
            loaded: &self.loaded,
            recipe: &self.loaded.recipe,
            teacher: &self.teacher,
            prompts: self.prompts.len(),
            taps: &self.taps,
            layout: &self.layout,
            init: self.init.as_ref(),
        }
    }

    /// The name of the phase that ends the run.
    pub(super) fn last_phase(&self) -> &'static str {
        method::of(&self.loaded.recipe).last().map_or("", |method| method.section.name)
    }

    /// The student once all phases have run.
    pub(super) fn student(&self) -> Result<Generator, TrainError> {
        self.materials().student(self.last_phase())
    }

    /// The guidance weights of a guided student: the teacher's, less the recipe's offset.
    pub(super) fn student_guidance(&self) -> Option<GuidanceRange> {
        let [low, high] = self.loaded.recipe.teacher.guidance;
        let offset = self.loaded.recipe.student.guidance_offset?;
        Some(GuidanceRange { default: (low + high) / 2.0 - offset, range: [low - offset, high - offset] })
    }
}

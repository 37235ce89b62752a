//! What a job needs of the networks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::pictures::{PictureSet, Pictures};
use crate::data::{LatentStore, PairPlan, PairStore, ShardInputs};
use crate::error::TrainError;
use crate::recipe::LoadedRecipe;
use crate::report::{Film, Scores};
use crate::session::Interrupt;
use crate::store::StoredState;
use crate::trainer::{Phase, PhaseSlot};
use dmdx_runtime::score::Reference;

/// What a job needs of the networks.
pub trait Models {
    /// A student's folder that was opened to be exported.
    type Student;

    /// The conditions of the recipe's prompts.
    type ConditionStore;

    /// The recipe as the networks have it: with what it leaves to a student that it begins with.
    fn recipe<'a>(&'a self, given: &'a LoadedRecipe) -> &'a LoadedRecipe {
        given
    }

    /// SHA-256 of every input by the key of the recipe that names it.
    ///
    /// # Errors
    /// When one cannot be read.
    fn inputs(&self) -> Result<BTreeMap<String, String>, TrainError>;

    /// Versions of the libraries that the numbers come from.
    fn versions(&self) -> BTreeMap<String, String>;

    /// Choices that are not the recipe's, by name: resolved taps, the unconditional embedding, the device.
    ///
    /// # Errors
    /// When the recipe's student is none of the teacher's.
    fn choices(&self) -> Result<BTreeMap<String, String>, TrainError>;

    /// What the ODE pairs are.
    ///
    /// # Errors
    /// When the teacher does not say enough about its latents.
    fn pair_plan(&self) -> Result<PairPlan, TrainError>;

    /// The conditions of the recipe's prompts, made in `folder` as far as they are not there.
    ///
    /// # Errors
    /// When they cannot be made or read, and [`TrainError::Interrupted`].
    fn conditions(&self, folder: &Path, interrupt: &Interrupt) -> Result<Self::ConditionStore, TrainError>;

    /// The teacher's latents of one shard, `[count, ..latent_shape]`.
    ///
    /// # Errors
    /// When the inputs do not fit the teacher.
    fn teacher_latents(&self, conditions: &Self::ConditionStore, inputs: &ShardInputs) -> Result<Vec<f32>, TrainError>;

    /// The real latents of the recipe's pictures, made in `folder` as far as they are not there.
    ///
    /// # Errors
    /// When they cannot be made or read, and [`TrainError::Interrupted`].
    fn real_latents(&self, folder: &Path, interrupt: &Interrupt) -> Result<LatentStore, TrainError>;

    /// The phases in order; `pairs` and `latents` are there where a phase needs them.
    ///
    /// # Errors
    /// When a phase of the recipe is impossible.
    fn phases<'a>(
        &'a self,
        conditions: &'a Self::ConditionStore,
        pairs: Option<PairStore>,
        latents: Option<LatentStore>,
    ) -> Result<Vec<PhaseSlot<'a>>, TrainError>;

    /// Writes the student as a pipeline in the reference library's layout.
    ///
    /// # Errors
    /// [`TrainError::Write`], [`TrainError::Read`]; [`TrainError::NoStudent`] where the state holds none.
    fn save_student(&self, state: &StoredState, folder: &Path) -> Result<(), TrainError>;

    /// Where the student was trained by low-rank factors, the name of a folder for them beside its own.
    fn factors(&self) -> Option<&'static str> {
        None
    }

    /// Writes the student's factors as the reference library stores them.
    ///
    /// # Errors
    /// As [`Models::save_student`].
    fn save_factors(&self, _state: &StoredState, _folder: &Path) -> Result<(), TrainError> {
        Ok(())
    }

    /// Opens the folder that [`Models::save_student`] wrote, once for all bundles.
    ///
    /// # Errors
    /// When it cannot be read back.
    fn open_student(&self, folder: &Path) -> Result<Self::Student, TrainError>;

    /// Writes and verifies the student's bundle for one target, whole or not at all; one that is there is replaced.
    ///
    /// # Errors
    /// When it cannot be written for that target, or does not compute what the student does.
    fn export(&self, student: &Self::Student, target: &str, folder: &Path) -> Result<(), TrainError>;

    /// The words of a prompt.
    ///
    /// # Errors
    /// When there is none of that id.
    fn prompt(&self, id: u32) -> Result<String, TrainError>;

    /// Writes the model cards of the student's folder, of its factors' and of its bundles.
    ///
    /// # Errors
    /// [`TrainError::Write`], or a bundle whose manifest cannot be read back.
    fn write_cards(&self, student: &Path, bundles: &[PathBuf], scores: &Scores) -> Result<(), TrainError>;

    /// What a result looks like.
    fn film(&self) -> Film;

    /// What the pictures of an evaluation are compared with: the guided teacher's own, of other noise, read from `file` or drawn
    /// and written there. None where the recipe asks for no score.
    ///
    /// # Errors
    /// As [`Models::evaluate`]; [`TrainError::Damaged`], [`TrainError::Write`] and [`TrainError::Interrupted`].
    fn reference(
        &self,
        file: &Path,
        conditions: &Self::ConditionStore,
        interrupt: &Interrupt,
    ) -> Result<Option<Reference>, TrainError>;

    /// Draws a set of pictures, scores all where the set and the recipe ask for that, and returns the first `keep` of those that
    /// are for a sheet. No more is held of the others than what score and spread need, whatever their number.
    ///
    /// # Errors
    /// When the student does not fit the teacher's network, or the pictures cannot be scored.
    fn evaluate(
        &self,
        who: Drawer<'_>,
        conditions: &Self::ConditionStore,
        set: &PictureSet,
        keep: usize,
        reference: Option<&Reference>,
    ) -> Result<Pictures, TrainError>;
}

impl Drawer<'_> {
    /// The phase whose end draws.
    pub(super) fn phase(&self) -> Option<&str> {
        match self {
            Self::Student(state) => Some(state.phase()),
            Self::Teacher { .. } | Self::Training(_) => None,
        }
    }
}

/// Who draws.
#[derive(Clone, Copy)]
pub enum Drawer<'a> {
    /// The teacher, in so many steps, guided by the middle of the recipe's range.
    Teacher {
        /// Sampler steps.
        steps: u32,
    },
    /// The student at the end of a phase.
    Student(&'a StoredState),
    /// The student that a phase is training.
    Training(&'a dyn Phase),
}

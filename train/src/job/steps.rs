//! What the sequence of a job asks of the networks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_runtime::score::Reference;

use super::deliver::{self, SavedStudent};
use super::distillation::Distillation;
use super::models::{Drawer, Models};
use super::pictures::{PictureSet, Pictures};
use super::{evaluate, record, reference, student};
use crate::data::{LatentStore, PairPlan, PairStore, ShardInputs, StoredConditions};
use crate::error::TrainError;
use crate::method::{self, Given, Method, Need};
use crate::recipe::{LoadedRecipe, LoraRole};
use crate::report::{Film, Scores};
use crate::session::Interrupt;
use crate::store::StoredState;
use crate::trainer::PhaseSlot;

impl Models for Distillation {
    type Student = SavedStudent;
    type ConditionStore = StoredConditions;

    fn recipe<'a>(&'a self, _given: &'a LoadedRecipe) -> &'a LoadedRecipe {
        self.recipe()
    }

    fn inputs(&self) -> Result<BTreeMap<String, String>, TrainError> {
        record::inputs(self)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        record::versions()
    }

    fn choices(&self) -> Result<BTreeMap<String, String>, TrainError> {
        record::choices(self)
    }

    fn pair_plan(&self) -> Result<PairPlan, TrainError> {
        Ok(record::pair_plan(self))
    }

    fn conditions(&self, folder: &Path, interrupt: &Interrupt) -> Result<StoredConditions, TrainError> {
        self.teacher.conditions(folder, &record::condition_plan(self), &self.texts, interrupt)
    }

    fn teacher_latents(&self, conditions: &StoredConditions, inputs: &ShardInputs) -> Result<Vec<f32>, TrainError> {
        let weights: Vec<f64> = inputs.guidance.iter().map(|&weight| f64::from(weight)).collect();
        self.teacher.latents(conditions, &inputs.noise, &inputs.prompts, &weights, self.loaded.recipe.pairs.steps as usize)
    }

    fn real_latents(&self, folder: &Path, interrupt: &Interrupt) -> Result<LatentStore, TrainError> {
        let real = self.real.as_ref().ok_or_else(|| TrainError::recipe("data", "is missing, but a method learns from it"))?;
        real.latents(&self.teacher, self.prompts.len(), folder, interrupt)
    }

    fn phases<'a>(
        &'a self,
        conditions: &'a StoredConditions,
        pairs: Option<PairStore>,
        latents: Option<LatentStore>,
    ) -> Result<Vec<PhaseSlot<'a>>, TrainError> {
        let slot = |method: &'static Method| {
            let pairs = pairs.clone().filter(|_| (method.needs)(&self.loaded.recipe).contains(&Need::Pairs));
            let latents = latents.clone().filter(|_| (method.needs)(&self.loaded.recipe).contains(&Need::Latents));
            let build = move |previous: Option<&StoredState>| {
                (method.build)(&self.materials(), Given { previous, conditions, pairs, latents })
            };
            let (info, _) = student::describe(self, method.section.name)?;
            Ok(PhaseSlot { name: method.section.name, student: Some(info.to_json()), build: Box::new(build) })
        };
        method::of(&self.loaded.recipe).map(slot).collect()
    }

    fn save_student(&self, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
        deliver::save(self, state, folder)
    }

    fn factors(&self) -> Option<&'static str> {
        self.loaded.recipe.lora.as_ref().filter(|lora| lora.trains(LoraRole::Generator)).map(|_| deliver::LORA)
    }

    fn save_factors(&self, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
        deliver::save_factors(self, state, folder)
    }

    fn open_student(&self, folder: &Path) -> Result<SavedStudent, TrainError> {
        SavedStudent::open(self, folder)
    }

    fn export(&self, student: &SavedStudent, target: &str, folder: &Path) -> Result<(), TrainError> {
        student.export(target, folder)
    }

    fn prompt(&self, id: u32) -> Result<String, TrainError> {
        self.prompts.get(id as usize)
    }

    fn write_cards(&self, student: &Path, bundles: &[PathBuf], scores: &Scores) -> Result<(), TrainError> {
        deliver::cards(self, student, bundles, scores)
    }

    fn film(&self) -> Film {
        let [height, width] = self.teacher.picture_size;
        Film { frames: self.teacher.frames, height, width }
    }

    fn reference(
        &self,
        file: &Path,
        conditions: &StoredConditions,
        interrupt: &Interrupt,
    ) -> Result<Option<Reference>, TrainError> {
        reference::reference(self, file, conditions, interrupt)
    }

    fn evaluate(
        &self,
        who: Drawer<'_>,
        conditions: &StoredConditions,
        set: &PictureSet,
        keep: usize,
        reference: Option<&Reference>,
    ) -> Result<Pictures, TrainError> {
        evaluate::evaluate(self, who, conditions, (set, keep), reference)
    }
}

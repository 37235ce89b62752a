//! Teacher, discriminators and student of one recipe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::deliver::{self, SavedStudent};
use super::models::{Drawer, Models, Pictures};
use super::{evaluate, record};
use crate::data::{PairPlan, PairStore, Prompts, ShardInputs};
use crate::device;
use crate::diffusion::Generator;
use crate::discriminator::{FeatureLayout, last_resnets};
use crate::error::TrainError;
use crate::method::{self, Given, Materials, Method, Need};
use crate::recipe::LoadedRecipe;
use crate::store::{StoredState, hash};
use crate::teacher::Teacher;
use crate::trainer::PhaseSlot;

/// Everything that a recipe's job runs.
pub struct Networks {
    pub(super) loaded: LoadedRecipe,
    pub(super) path: PathBuf,
    pub(super) texts: Vec<String>,
    pub(super) prompts_sha256: String,
    pub(super) teacher: Teacher,
    pub(super) taps: Vec<String>,
    pub(super) teacher_hash: String,
}

impl Networks {
    /// Imports the recipe's teacher onto its device and encodes its prompts.
    ///
    /// # Errors
    /// When something named by the recipe is missing or unusable.
    pub fn open(loaded: &LoadedRecipe) -> Result<Self, TrainError> {
        let recipe = &loaded.recipe;
        let device = device::open(recipe.run.device)?;
        if recipe.run.threads > 0 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(recipe.run.threads).build_global();
            pool.map_err(|error| TrainError::Environment { what: "a pool of threads".into(), reason: error.to_string() })?;
        }
        let prompts = Prompts::open(loaded)?;
        let prompts_sha256 = prompts.sha256()?;
        let texts: Vec<String> = prompts.starting(0)?.collect::<Result<_, _>>()?;
        let path = loaded.resolve(&recipe.teacher.path);
        let teacher = Teacher::open(&path, &texts, recipe.teacher.uncond, &device)?;
        let mut taps = recipe.discriminator.latent_taps.clone();
        if taps.is_empty() {
            taps = last_resnets(teacher.graph()?);
        }
        deliver::check(loaded, &teacher)?;
        evaluate::check(loaded)?;
        let teacher_hash = hash::model(&path)?;
        let networks = Self { loaded: loaded.clone(), path, texts, prompts_sha256, teacher, taps, teacher_hash };
        networks.student()?;
        networks.materials().latent_taps()?;
        networks.materials().pixel_discriminator(1.0)?;
        Ok(networks)
    }

    /// What the methods make their roles from.
    pub fn materials(&self) -> Materials<'_> {
        Materials {
            loaded: &self.loaded,
            recipe: &self.loaded.recipe,
            teacher: &self.teacher,
            prompts: self.texts.len(),
            taps: &self.taps,
            layout: &FeatureLayout::ChannelsFirst,
        }
    }

    /// The student once all phases have run.
    pub(super) fn student(&self) -> Result<Generator, TrainError> {
        let last = method::of(&self.loaded.recipe).last();
        self.materials().student(last.map_or("", |method| method.section.name))
    }

    /// Height and width of a picture.
    pub(super) fn size_of_pictures(&self) -> (u32, u32) {
        let [height, width] = self.teacher.picture_size().map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        (height, width)
    }
}

impl Models for Networks {
    type Student = SavedStudent;

    fn inputs(&self) -> Result<BTreeMap<String, String>, TrainError> {
        record::inputs(self)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        record::versions()
    }

    fn choices(&self) -> BTreeMap<String, String> {
        record::choices(self)
    }

    fn pair_plan(&self) -> Result<PairPlan, TrainError> {
        Ok(record::pair_plan(self))
    }

    fn teacher_latents(&self, inputs: &ShardInputs) -> Result<Vec<f32>, TrainError> {
        let weights: Vec<f64> = inputs.guidance.iter().map(|&weight| f64::from(weight)).collect();
        self.teacher.latents(&inputs.noise, &inputs.prompts, &weights, self.loaded.recipe.pairs.steps as usize)
    }

    fn phases<'a>(&'a self, pairs: Option<PairStore>) -> Result<Vec<PhaseSlot<'a>>, TrainError> {
        let slot = |method: &'static Method| {
            let pairs = pairs.clone().filter(|_| method.needs.contains(&Need::Pairs));
            let build = move |previous: Option<&StoredState>| (method.build)(&self.materials(), Given { previous, pairs });
            PhaseSlot { name: method.section.name, build: Box::new(build) }
        };
        Ok(method::of(&self.loaded.recipe).map(slot).collect())
    }

    fn save_student(&self, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
        deliver::save(self, state, folder)
    }

    fn open_student(&self, folder: &Path) -> Result<SavedStudent, TrainError> {
        SavedStudent::open(self, folder)
    }

    fn export(&self, student: &SavedStudent, target: &str, folder: &Path) -> Result<(), TrainError> {
        student.export(target, folder)
    }

    fn picture_size(&self) -> (u32, u32) {
        self.size_of_pictures()
    }

    fn evaluate(&self, who: Drawer<'_>, prompts: &[u32], noise: &[f32], keep: usize) -> Result<Pictures, TrainError> {
        evaluate::evaluate(self, who, prompts, noise, keep)
    }
}

//! Opening a job: everything that it needs is looked at before training begins.

use dmdx_importer::path::located;
use dmdx_runtime::score::neighbours::NEIGHBOURS;

use super::distillation::Distillation;
use super::{deliver, early, evaluate, real};
use crate::data::Prompts;
use crate::device;
use crate::error::TrainError;
use crate::method;
use crate::method::dmd2::Dmd2;
use crate::method::regression::Regression;
use crate::recipe::{LoadedRecipe, LoraRole, Section};
use crate::store::hash;
use crate::teacher::{Header, Teacher};

impl Distillation {
    /// Imports the recipe's teacher onto its device.
    ///
    /// # Errors
    /// When something named by the recipe is missing or unusable.
    pub fn open(given: &LoadedRecipe) -> Result<Self, TrainError> {
        let mut loaded = given.clone();
        let recipe = &given.recipe;
        method::check_needs(recipe)?;
        let named = real::named(given)?;
        let device = device::open(recipe.run.device)?;
        if recipe.run.threads > 0 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(recipe.run.threads).build_global();
            pool.map_err(|error| TrainError::Environment { what: "a pool of threads".into(), reason: error.to_string() })?;
        }
        let prompts = Prompts::open(given)?;
        let prompts_sha256 = prompts.sha256()?;
        let path = located(&loaded.resolve(&recipe.teacher.path)).map_err(|error| TrainError::TeacherImport(error.into()))?;
        let reading = recipe.teacher.reading(|path| loaded.resolve(path))?;
        let header = Header::read(&path, &reading)?;
        let init = header.init(&path, &reading, &mut loaded)?;
        early::walks(&loaded.recipe, &header.process)?;
        let scorer = evaluate::scorer(given, header.frames()?)?;
        let scored = recipe.score.as_ref().map(|score| score.count_per_prompt.saturating_mul(prompts.len()));
        if let Some(count) = scored.filter(|&count| count <= NEIGHBOURS) {
            let problem = format!("gives {count} pictures, but density and coverage need more than {NEIGHBOURS}");
            return Err(TrainError::recipe("score.count_per_prompt", problem));
        }
        if let Some(scorer) = &scorer {
            early::score(&header, scorer.as_ref(), &prompts)?;
        }
        let teacher = Teacher::open(&path, &reading, recipe.teacher.uncond, &device)?;
        let mut taps = recipe.discriminator.latent_taps.clone();
        if taps.is_empty() {
            taps = teacher.default_taps()?;
        }
        let teacher_hash = hash::pipeline(&teacher.pipeline)?;
        let real = named.map(|named| named.opened(given, &teacher, &teacher_hash)).transpose()?;
        let texts = match &real {
            Some(real) => prompts.clone().followed_by(Prompts::captions(real.captions.clone()))?,
            None => prompts.clone(),
        };
        let texts_sha256 = if real.is_some() { texts.sha256()? } else { prompts_sha256.clone() };
        let layout = teacher.feature_layout();
        let job = Self {
            loaded,
            path,
            prompts,
            prompts_sha256,
            texts,
            texts_sha256,
            real,
            teacher,
            taps,
            layout,
            teacher_hash,
            init,
            scorer,
        };
        job.student()?;
        deliver::check(&job)?;
        for role in [LoraRole::Generator, LoraRole::FakeScore] {
            job.materials().factors(role)?;
        }
        job.materials().latent_taps()?;
        job.materials().pixel_discriminator("check", 1.0)?;
        if let Some(regression) = job.loaded.recipe.section::<Regression>()?.filter(|section| section.iterations > 0) {
            job.materials().perceptual(&regression)?;
        }
        if let Some(dmd2) = job.loaded.recipe.section::<Dmd2>()?.filter(|dmd2| dmd2.iterations > 0) {
            job.materials().classifier(Dmd2::NAME, &dmd2.taps, dmd2.lr_classifier)?;
        }
        Ok(job)
    }
}

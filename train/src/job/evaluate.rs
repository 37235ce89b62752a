//! Evaluating: pictures of teacher and student, and their scores.

use dmdx_runtime::Tensor;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score::{self, Scorer};

use super::distillation::Distillation;
use super::models::Drawer;
use super::pictures::{PictureSet, Pictures};
use crate::data::StoredConditions;
use crate::diffusion::Generator;
use crate::error::TrainError;
use crate::method::GENERATOR;
use crate::recipe::LoadedRecipe;
use crate::session::Draws;
use crate::teacher::{Portion, chunk, student_latents};
use crate::trainer::Phase;

/// The recipe's scorer: what scoring needs must not be missing after hours of training.
pub(super) fn scorer(loaded: &LoadedRecipe) -> Result<Option<Box<dyn Scorer>>, TrainError> {
    let Some(score) = &loaded.recipe.score else { return Ok(None) };
    let engine = TractEngine::new(rayon::current_num_threads());
    let opened = score::open(&loaded.resolve(&score.classifier), &engine);
    opened.map(Some).map_err(|error| TrainError::component("opening the classifier of score.classifier", error))
}

/// Draws the pictures of a set in portions of a fixed size, of which only the first `keep` pictures stay, and scores all
/// where that is asked for.
pub(super) fn evaluate(
    job: &Distillation,
    who: Drawer<'_>,
    conditions: &StoredConditions,
    set: &PictureSet,
    keep: usize,
) -> Result<Pictures, TrainError> {
    let wrap = |error| TrainError::component("scoring the pictures", error);
    let (artist, shape) = (Artist::new(job, who)?, &job.teacher.latent_shape);
    let mut scoring = job.scorer.as_ref().filter(|_| set.scored).map(|scorer| scorer.begin());
    let (height, width) = job.size_of_pictures();
    let picture = [3, height as usize, width as usize];
    let mut draws = Draws::new(job.loaded.recipe.run.seed, set.draws, 0);
    let mut values = Vec::new();
    // As many as go through a network together, so that portions change no picture.
    let size = chunk(shape);
    for first in (0..set.count).step_by(size) {
        let prompts: Vec<u32> = (first..(first + size).min(set.count)).map(|index| set.prompt(index)).collect();
        let noise = draws.normal(&[&[prompts.len()], shape.as_slice()].concat());
        let latents =
            artist.latents(job, conditions, &Portion { first, latent_shape: shape, noise: &noise, prompts: &prompts })?;
        let mut drawn = job.teacher.pictures(&latents)?;
        if let Some(scoring) = &mut scoring {
            let texts = prompts.iter().map(|&prompt| job.prompts.get(prompt as usize)).collect::<Result<Vec<_>, _>>()?;
            let tensor = Tensor::f32([&[prompts.len()], &picture[..]].concat(), drawn.clone()).map_err(wrap)?;
            scoring.add(&tensor, &texts).map_err(wrap)?;
        }
        drawn.truncate(keep.saturating_sub(first) * picture.iter().product::<usize>());
        values.extend(drawn);
    }
    let score = scoring.map(|scoring| scoring.finish().map_err(wrap)).transpose()?;
    let named = |score: score::Score| score.numbers().map(|(name, value)| (name.to_string(), value)).collect();
    Ok(Pictures { values, score: score.map(named) })
}

/// Who draws, ready to draw.
enum Artist<'a> {
    Teacher { steps: usize, weight: f64 },
    Student { student: Box<Generator>, weight: Option<f64> },
    Phase(&'a dyn Phase),
}

impl<'a> Artist<'a> {
    fn new(job: &Distillation, who: Drawer<'a>) -> Result<Self, TrainError> {
        match who {
            Drawer::Teacher { steps } => {
                let [low, high] = job.loaded.recipe.teacher.guidance;
                Ok(Self::Teacher { steps: steps as usize, weight: (low + high) / 2.0 })
            }
            Drawer::Student(state) => {
                let mut module = job.teacher.denoiser.module.clone();
                state.load_weights(GENERATOR, &mut module)?;
                let materials = job.materials();
                let student = Box::new(materials.student(state.phase())?.with_module(module.frozen()));
                Ok(Self::Student { student, weight: materials.student_weight() })
            }
            Drawer::Training(phase) => Ok(Self::Phase(phase)),
        }
    }

    fn latents(&self, job: &Distillation, conditions: &StoredConditions, portion: &Portion<'_>) -> Result<Vec<f32>, TrainError> {
        match self {
            Self::Teacher { steps, weight } => {
                let weights = vec![*weight; portion.prompts.len()];
                job.teacher.latents(conditions, portion.noise, portion.prompts, &weights, *steps)
            }
            Self::Student { student, weight } => {
                student_latents(student, conditions, *weight, job.loaded.recipe.run.seed, portion)
            }
            Self::Phase(phase) => phase.draw(portion.first, portion.noise, portion.prompts),
        }
    }
}

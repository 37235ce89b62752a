//! Evaluating: pictures of teacher and student, and their scores.

use dmdx_runtime::Tensor;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score;

use super::distillation::Distillation;
use super::models::{Drawer, Pictures};
use crate::data::StoredConditions;
use crate::error::TrainError;
use crate::method::GENERATOR;
use crate::recipe::LoadedRecipe;
use crate::report::Score;

/// What scoring needs must not be missing after hours of training.
pub(super) fn check(loaded: &LoadedRecipe) -> Result<(), TrainError> {
    let Some(score) = &loaded.recipe.score else { return Ok(()) };
    score::open(&loaded.resolve(&score.classifier), &TractEngine::new(1))
        .map(drop)
        .map_err(|error| TrainError::component("opening the classifier of score.classifier", error))
}

/// Draws and scores a picture of every prompt, and keeps the first `keep`.
pub(super) fn evaluate(
    job: &Distillation,
    who: Drawer<'_>,
    conditions: &StoredConditions,
    prompts: &[u32],
    noise: &[f32],
    keep: usize,
) -> Result<Pictures, TrainError> {
    let latents = latents(job, who, conditions, prompts, noise)?;
    let mut values = job.teacher.pictures(&latents)?;
    let (height, width) = job.size_of_pictures();
    let shape = [prompts.len(), 3, height as usize, width as usize];
    let score = score(job, shape, &values, prompts)?;
    values.truncate(keep * shape[1..].iter().product::<usize>());
    Ok(Pictures { values, score })
}

fn latents(
    job: &Distillation,
    who: Drawer<'_>,
    conditions: &StoredConditions,
    prompts: &[u32],
    noise: &[f32],
) -> Result<Vec<f32>, TrainError> {
    let recipe = &job.loaded.recipe;
    let [low, high] = recipe.teacher.guidance;
    match who {
        Drawer::Teacher { steps } => {
            let weights = vec![(low + high) / 2.0; prompts.len()];
            job.teacher.latents(conditions, noise, prompts, &weights, steps as usize)
        }
        Drawer::Student(state) => {
            let mut module = job.teacher.denoiser.module.clone();
            state.load_weights(GENERATOR, &mut module)?;
            let weight = job.student_guidance().map(|guidance| guidance.default);
            let student = job.student()?.with_module(module.frozen());
            job.teacher.student_latents(&student, conditions, weight, recipe.run.seed, noise, prompts)
        }
    }
}

/// The score that the recipe asks for, if it asks for one.
fn score(job: &Distillation, shape: [usize; 4], pictures: &[f32], prompts: &[u32]) -> Result<Option<Score>, TrainError> {
    let Some(section) = &job.loaded.recipe.score else { return Ok(None) };
    let wrap = |error| TrainError::component("scoring the pictures", error);
    let engine = TractEngine::new(rayon::current_num_threads());
    let scorer = score::open(&job.loaded.resolve(&section.classifier), &engine).map_err(wrap)?;
    let pictures = Tensor::f32(shape.to_vec(), pictures.to_vec()).map_err(wrap)?;
    let texts = prompts.iter().map(|&prompt| job.prompts.get(prompt as usize)).collect::<Result<Vec<_>, _>>()?;
    let score = scorer.score(&pictures, &texts).map_err(wrap)?;
    Ok(Some(score.numbers().map(|(name, value)| (name.to_string(), value)).collect()))
}

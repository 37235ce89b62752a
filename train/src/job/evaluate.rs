//! Evaluating: pictures of teacher and student, and their scores.

use dmdx_runtime::Tensor;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score::{self, Reference, Scorer, Spread};

use super::distillation::Distillation;
use super::models::Drawer;
use super::pictures::{PictureSet, Pictures};
use crate::data::StoredConditions;
use crate::diffusion::Generator;
use crate::error::TrainError;
use crate::method::GENERATOR;
use crate::recipe::{LoadedRecipe, LoraRole};
use crate::session::Draws;
use crate::teacher::{Portion, chunk, student_latents};
use crate::trainer::Phase;

/// The recipe's scorer: what scoring needs must not be missing after hours of training. `frames` are those of the teacher's
/// videos.
pub(super) fn scorer(loaded: &LoadedRecipe, frames: Option<usize>) -> Result<Option<Box<dyn Scorer>>, TrainError> {
    let Some(score) = &loaded.recipe.score else { return Ok(None) };
    let engine = TractEngine::new(rayon::current_num_threads());
    let opened = score::open(&loaded.resolve(&score.classifier), &engine);
    let scorer = opened.map_err(|error| TrainError::component("opening the classifier of score.classifier", error))?;
    if scorer.frames() != frames {
        let words = |frames: Option<usize>| frames.map_or("pictures".to_string(), |frames| format!("videos of {frames} frames"));
        let problem = format!("judges {}, but the teacher makes {}", words(scorer.frames()), words(frames));
        return Err(TrainError::recipe("score.classifier", problem));
    }
    Ok(Some(scorer))
}

/// Draws the pictures of a set, of which only the first `keep` that are for a sheet stay, and scores all where that is asked for.
pub(super) fn evaluate(
    job: &Distillation,
    who: Drawer<'_>,
    conditions: &StoredConditions,
    (set, keep): (&PictureSet, usize),
    reference: Option<&Reference>,
) -> Result<Pictures, TrainError> {
    let wrap = |error| TrainError::component("scoring the pictures", error);
    let mut scoring = job.scorer.as_ref().filter(|_| set.scored).map(|scorer| scorer.begin(reference));
    let (mut values, mut spread) = (Vec::new(), Spread::default());
    let size = job.teacher.result_shape().iter().product::<usize>();
    draw(job, who, conditions, set, |first, prompts, pictures| {
        if let Some(scoring) = &mut scoring {
            let texts = prompts.iter().map(|&prompt| job.prompts.get(prompt as usize)).collect::<Result<Vec<_>, _>>()?;
            scoring.add(pictures, &texts).map_err(wrap)?;
        }
        for (index, picture) in (first..).zip(pictures.floats().map_err(wrap)?.chunks_exact(size)) {
            if index.is_multiple_of(set.group.max(1)) {
                spread.next_prompt();
            }
            spread.add(picture);
            if index.is_multiple_of(set.shown_every.max(1)) && values.len() < keep * size {
                values.extend_from_slice(picture);
            }
        }
        Ok(())
    })?;
    let score = scoring.map(|scoring| scoring.finish().map_err(wrap)).transpose()?;
    let named = |score: score::Score| score.numbers().map(|(name, value)| (name.to_string(), value)).collect();
    Ok(Pictures { values, score: score.map(named), spread: spread.finish() })
}

/// Draws the pictures of a set in portions of a fixed size and gives them to `take`: the number of the first, the ids of their
/// prompts, and the pictures `[count, 3, height, width]`.
pub(super) fn draw(
    job: &Distillation,
    who: Drawer<'_>,
    conditions: &StoredConditions,
    set: &PictureSet,
    mut take: impl FnMut(usize, &[u32], &Tensor) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let wrap = |error| TrainError::component("drawing pictures", error);
    let (artist, shape) = (Artist::new(job, who)?, &job.teacher.latent_shape);
    let picture = job.teacher.result_shape();
    let mut draws = Draws::new(job.loaded.recipe.run.seed, set.draws, 0);
    // As many as go through a network together, so that portions change no picture.
    let size = chunk(shape);
    for first in (0..set.count).step_by(size) {
        let prompts: Vec<u32> = (first..(first + size).min(set.count)).map(|index| set.prompt(index)).collect();
        let noise = draws.normal(&[&[prompts.len()], shape.as_slice()].concat());
        let latents =
            artist.latents(job, conditions, &Portion { first, latent_shape: shape, noise: &noise, prompts: &prompts })?;
        let drawn = job.teacher.pictures(&latents)?;
        let pictures = Tensor::f32([&[prompts.len()], picture.as_slice()].concat(), drawn).map_err(wrap)?;
        take(first, &prompts, &pictures)?;
    }
    Ok(())
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
                let materials = job.materials();
                let mut module = materials.network(LoraRole::Generator)?;
                state.load_weights(GENERATOR, &mut module)?;
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

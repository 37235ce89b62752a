//! What would show only after hours of training is refused before anything is loaded: all that recipe, prompts and the headers
//! of the teacher tell.

use std::collections::BTreeSet;

use dmdx_export::Imported;
use dmdx_runtime::Tensor;
use dmdx_runtime::family::Size;
use dmdx_runtime::process::{Process, Rollout, StepRule};
use dmdx_runtime::score::Scorer;

use crate::data::Prompts;
use crate::error::TrainError;
use crate::method;
use crate::recipe::Recipe;
use crate::student;
use crate::teacher::Header;

/// Checks walks and times on the teacher's noise process.
///
/// # Errors
/// [`TrainError::Recipe`] about the first key that the process has no time or no step for.
pub(super) fn walks(recipe: &Recipe, process: &Process) -> Result<(), TrainError> {
    // The teacher's own: for pairs, and beside the student at the end, in one step too.
    for steps in [recipe.pairs.steps, 1] {
        let refuse = |error| TrainError::recipe("pairs.steps", format!("is {steps}, which the teacher cannot make: {error}"));
        let times = process.spaced(steps as usize).map_err(refuse)?;
        let told: Vec<f64> = times.into_iter().map(|time| process.network_time(time)).collect();
        Rollout::new(process.clone(), &told, StepRule::Ode).map_err(refuse)?;
    }
    for method in method::of(recipe) {
        let name = method.section.name;
        let consistency = method::consistency(recipe, name)?;
        let walk = student::rollout(&recipe.student, process, method::is_on_line(recipe, name), consistency)?;
        // The line has every time, but the network knows the teacher's.
        let (told, latest) = (walk.network_times(), process.network_time(process.last_time()));
        if told.first().is_some_and(|&first| first > latest) {
            let problem = format!("is {told:?}, but the teacher's network is told {latest} at most");
            return Err(TrainError::recipe("student.times", problem));
        }
        times(recipe, name, process)?;
    }
    Ok(())
}

/// Checks a method's times, which every method counts in thousandths under the same keys.
fn times(recipe: &Recipe, method: &str, process: &Process) -> Result<(), TrainError> {
    let number = |key: &str| {
        let value = recipe.methods.get(method)?.get(key)?;
        value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
    };
    let refuse =
        |key: &str, value: f64, why: String| Err(TrainError::recipe(format!("{method}.{key}"), format!("is {value}, but {why}")));
    let latest = process.last_time();
    for key in ["t_min", "t_max"] {
        let Some(value) = number(key) else { continue };
        let time = process.thousandths(value);
        if time > latest {
            return refuse(key, value, format!("the teacher's noise process ends at {latest}"));
        }
        if let Err(error) = process.original(time) {
            return refuse(key, value, error.to_string());
        }
    }
    let Some(dt) = number("dt_steps") else { return Ok(()) };
    match process.thousandths(dt) {
        step if step <= 0.0 => refuse("dt_steps", dt, "that is no whole step of the teacher's noise process".to_string()),
        _ => Ok(()),
    }
}

/// Checks that the scorer can judge pictures of the teacher's size and every prompt of the recipe.
///
/// # Errors
/// [`TrainError::Recipe`] about `score.classifier`; those of reading the prompts.
pub(super) fn score(header: &Header, scorer: &dyn Scorer, prompts: &Prompts) -> Result<(), TrainError> {
    let refuse = |problem: String| TrainError::recipe("score.classifier", problem);
    if let Some(known) = scorer.prompts() {
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        for prompt in prompts.starting(0)? {
            let prompt = prompt?;
            if !known.contains(prompt.as_str()) {
                let shown: String = prompt.chars().take(80).collect();
                return Err(refuse(format!("does not know the prompt \"{shown}\", so its pictures cannot be scored")));
            }
        }
    }
    let [height, width] = header.family.geometry(&Imported(&header.pipeline), &Size::default())?.pixels;
    let shape: Vec<usize> = std::iter::once(1).chain(header.frames()?).chain([3, height, width]).collect();
    let blank = Tensor::f32(shape.clone(), vec![0.0; shape.iter().product()])?;
    let read = scorer.features(&blank);
    read.map(drop).map_err(|error| refuse(format!("cannot read the teacher's pictures of {height}×{width}: {error}")))
}

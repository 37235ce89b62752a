//! What one key's range cannot say: conditions between keys.

use super::Recipe;
use super::section::SectionEntry;
use crate::error::TrainError;

/// Checks the conditions between keys.
pub(super) fn check(recipe: &Recipe, sections: &[SectionEntry]) -> Result<(), TrainError> {
    let discriminator = &recipe.discriminator;
    if !discriminator.head_width.is_multiple_of(discriminator.head_groups) {
        return Err(TrainError::recipe(
            "discriminator.head_groups",
            format!("is {}, but must divide head_width = {}", discriminator.head_groups, discriminator.head_width),
        ));
    }
    let student = &recipe.student;
    if student.init.is_none() && student.init_parameterisation.is_some() {
        return Err(TrainError::recipe(
            "student.init_parameterisation",
            "is given, but belongs to student.init and there is none",
        ));
    }
    if student.steps.is_some() && student.times.is_some() {
        return Err(TrainError::recipe("student.steps", "is given and so is student.times, but one of the two says everything"));
    }
    if let Some(times) = student.times.as_ref().filter(|times| !times.windows(2).all(|pair| pair[0] > pair[1])) {
        return Err(TrainError::recipe("student.times", format!("is {times:?}, but must fall strictly")));
    }
    if recipe.methods.is_empty() {
        let names: Vec<&str> = sections.iter().map(|section| section.name).collect();
        let problem = format!("are all left out, but a recipe needs one of {}", names.join(", "));
        return Err(TrainError::recipe("methods", problem));
    }
    if recipe.data.as_ref().is_some_and(|data| data.path.is_none() && data.latents.is_none()) {
        return Err(TrainError::recipe("data", "must have path, a folder of pictures, or latents, a folder of their latents"));
    }
    if recipe.methods.keys().all(|name| recipe.iterations(name) == 0) {
        return Err(TrainError::recipe("methods", "have no iteration, so that there would be no student"));
    }
    sections.iter().try_for_each(|section| (section.check)(recipe))?;
    prompts(recipe)
}

fn prompts(recipe: &Recipe) -> Result<(), TrainError> {
    let prompts = &recipe.prompts;
    let given = [prompts.template.is_some(), prompts.list.is_some(), prompts.file.is_some()];
    if given.iter().filter(|&&given| given).count() != 1 {
        return Err(TrainError::recipe("prompts", "must have exactly one of template, list and file"));
    }
    if prompts.file.is_none() && prompts.column.is_some() {
        return Err(TrainError::recipe("prompts.column", "is given, but belongs to a file and there is none"));
    }
    if prompts.template.is_none() && !prompts.values.is_empty() {
        return Err(TrainError::recipe("prompts.values", "is given, but belongs to a template and there is none"));
    }
    Ok(())
}

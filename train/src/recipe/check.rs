//! What one key's range cannot say: conditions between keys.

use super::Recipe;
use crate::error::TrainError;

/// Checks the conditions between keys.
pub(super) fn check(recipe: &Recipe) -> Result<(), TrainError> {
    let discriminator = &recipe.discriminator;
    if !discriminator.head_width.is_multiple_of(discriminator.head_groups) {
        return Err(TrainError::recipe(
            "discriminator.head_groups",
            format!("is {}, but must divide head_width = {}", discriminator.head_groups, discriminator.head_width),
        ));
    }
    if let Some(adp) = &recipe.adp {
        if adp.lambda_latent == 0.0 && adp.lambda_pixel == 0.0 {
            return Err(TrainError::recipe(
                "adp.lambda_latent",
                "is 0 and so is adp.lambda_pixel, but one of them must be above 0",
            ));
        }
        if adp.iterations > 0 && adp.lambda_pixel > 0.0 && discriminator.pixel.is_none() {
            return Err(TrainError::recipe(
                "adp.lambda_pixel",
                format!("is {}, but there is no [discriminator.pixel]; add it, or set lambda_pixel = 0", adp.lambda_pixel),
            ));
        }
    }
    if let Some(adm) = &recipe.adm {
        if adm.t_min >= adm.t_max {
            return Err(TrainError::recipe("adm.t_min", format!("is {}, but must be below t_max = {}", adm.t_min, adm.t_max)));
        }
        if adm.t_min + adm.dt_steps > adm.t_max {
            return Err(TrainError::recipe(
                "adm.dt_steps",
                format!("is {}, but must be at most t_max − t_min = {}", adm.dt_steps, adm.t_max - adm.t_min),
            ));
        }
    }
    if recipe.adp.is_none() && recipe.adm.is_none() {
        return Err(TrainError::recipe("adp", "is left out and so is adm, but a recipe needs one of the two sections"));
    }
    prompts(recipe)
}

fn prompts(recipe: &Recipe) -> Result<(), TrainError> {
    let prompts = &recipe.prompts;
    let given = [prompts.template.is_some(), prompts.list.is_some(), prompts.file.is_some()];
    if given.iter().filter(|&&given| given).count() != 1 {
        return Err(TrainError::recipe("prompts", "must have exactly one of template, list and file"));
    }
    if prompts.template.is_none() && !prompts.values.is_empty() {
        return Err(TrainError::recipe("prompts.values", "is given, but belongs to a template and there is none"));
    }
    Ok(())
}

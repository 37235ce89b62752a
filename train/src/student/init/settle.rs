//! What a recipe leaves to the student that it begins with: the meaning of its output, its times, and its steps' kind.

use dmdx_runtime::StudentInfo;
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, Process};
use dmdx_runtime::scheduler;
use serde_json::Value;

use super::{KEY, PARAMETERISATION, refused};
use crate::error::TrainError;
use crate::recipe::{InitParameterisation, LoadedRecipe};

/// The default of this key gives way to what the student says.
const SAMPLER: &str = "student.sampler";

/// Fills in what a student of ours says of itself.
///
/// # Errors
/// [`TrainError::Recipe`] where it does not go with the teacher, or with what the recipe says.
pub(super) fn by_info(
    loaded: &mut LoadedRecipe,
    info: &StudentInfo,
    (teacher, schedule): (&Process, &NoiseSchedule),
) -> Result<(), TrainError> {
    let predicts = teacher.parameterisation();
    let own = meaning(info.parameterisation, teacher);
    let is_table = matches!(schedule, NoiseSchedule::Table(_));
    if own != InitParameterisation::LineVelocity && is_table && info.schedule != *schedule {
        return Err(refused(
            "is a student on another noise table than the teacher's, so that its output would mean something else",
        ));
    }
    let student = &mut loaded.recipe.student;
    if let Some(given) = student.init_parameterisation.filter(|given| given.beside(predicts) != own.beside(predicts)) {
        let problem = format!("is \"{}\", but {KEY} says that it is \"{}\"; leave it out", given.word(), own.word());
        return Err(TrainError::recipe(PARAMETERISATION, problem));
    }
    if let (Some(range), None) = (info.guidance, student.guidance_offset) {
        let problem = format!(
            "is a guided student (weights from {} to {}), but student.guidance_offset is not given; it says how far the \
             student's weight is below the teacher's",
            range.range[0], range.range[1]
        );
        return Err(refused(problem));
    }
    student.init_parameterisation = Some(own);
    if student.steps.is_none() && student.times.is_none() {
        student.times = Some(info.steps.clone());
    }
    if loaded.defaults.iter().any(|key| key == SAMPLER) {
        student.sampler = info.sampler;
        loaded.defaults.retain(|key| key != SAMPLER);
    }
    Ok(())
}

/// Fills in what the scheduler beside a student says of it, where the recipe does not say it itself.
///
/// # Errors
/// [`TrainError::Recipe`] where the scheduler is another noise process's.
pub(super) fn by_scheduler(
    loaded: &mut LoadedRecipe,
    config: &Value,
    (teacher, schedule): (&Process, &NoiseSchedule),
) -> Result<(), TrainError> {
    if loaded.recipe.student.init_parameterisation.is_some() {
        return Ok(());
    }
    let advice =
        format!("; give {PARAMETERISATION}, if the student's output means something that the teacher's noise process has");
    let unreadable = |error| refused(format!("has a scheduler that does not say what its network predicts ({error}){advice}"));
    let parameterisation = scheduler::parameterisation(config).map_err(unreadable)?;
    let own = scheduler::noise_schedule(config).map_err(unreadable)?;
    let same = match (&own, schedule) {
        (NoiseSchedule::Table(own), NoiseSchedule::Table(theirs)) => own == theirs,
        (NoiseSchedule::Flow { .. }, NoiseSchedule::Flow { .. }) => true,
        (NoiseSchedule::Table(_), NoiseSchedule::Flow { .. }) | (NoiseSchedule::Flow { .. }, NoiseSchedule::Table(_)) => false,
    };
    if !same {
        return Err(refused(format!("has a scheduler of another noise process than the teacher's{advice}")));
    }
    loaded.recipe.student.init_parameterisation = Some(meaning(parameterisation, teacher));
    Ok(())
}

/// What an output means beside the teacher's.
fn meaning(own: Parameterisation, teacher: &Process) -> InitParameterisation {
    match own {
        own if own == teacher.parameterisation() => InitParameterisation::Teacher,
        Parameterisation::Epsilon => InitParameterisation::Epsilon,
        Parameterisation::Sample => InitParameterisation::Sample,
        Parameterisation::VPrediction => InitParameterisation::VPrediction,
        // The same velocity of the same straight path.
        Parameterisation::Flow | Parameterisation::LineVelocity => InitParameterisation::LineVelocity,
    }
}

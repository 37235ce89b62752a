//! The student of a recipe: what it begins with, the explicit list of times that it walks along, and what its output means.

mod init;

use dmdx_runtime::process::{Process, Rollout};

use crate::error::TrainError;
use crate::recipe;

pub(crate) use init::LORA_WEIGHTS;
pub use init::{Init, Teaching};

/// The walk of a student of this teacher. Its times are the recipe's, or spaced as the teacher's; the first stands for pure
/// noise. On the line between noise and latent the network is never told a later time than that.
///
/// # Errors
/// [`TrainError::Recipe`] about times that the process does not have.
pub fn rollout(section: &recipe::Student, teacher: &Process, is_on_line: bool) -> Result<Rollout, TrainError> {
    let times = match &section.times {
        Some(times) => times.clone(),
        None => {
            let steps = section.calls();
            let spaced =
                teacher.spaced(steps).map_err(|error| TrainError::recipe("student.steps", format!("is {steps}, but {error}")))?;
            spaced.into_iter().map(|time| teacher.network_time(time)).collect()
        }
    };
    let latest = times.first().copied().unwrap_or_default();
    let process = match (is_on_line, section.init_parameterisation) {
        (true, _) => teacher.of_line_student(latest),
        (false, None) => teacher.clone(),
        (false, Some(own)) => teacher.predicting(own.beside(teacher.parameterisation())).map_err(|error| {
            TrainError::recipe("student.init_parameterisation", format!("is \"{}\", but {error}", own.word()))
        })?,
    };
    Rollout::new(process, &times, section.sampler)
        .map_err(|error| TrainError::recipe("student.times", format!("is {times:?}, but {error}")))
}

//! The student of a recipe: the explicit list of times that it walks along, and what its output means.

use dmdx_runtime::process::{Process, Rollout};

use crate::error::TrainError;
use crate::recipe;

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
    let process = if is_on_line { teacher.of_line_student(latest) } else { teacher.clone() };
    Rollout::new(process, &times, section.sampler)
        .map_err(|error| TrainError::recipe("student.times", format!("is {times:?}, but {error}")))
}

//! The student of a recipe: what it begins with, the explicit list of times that it walks along, and what its output means.

mod init;

use dmdx_runtime::process::{Consistency, Process, Rollout};

use crate::error::TrainError;
use crate::recipe;

pub(crate) use init::LORA_WEIGHTS;
pub use init::{Init, Teaching};

/// Times that differ by less are the same to a network that is told 1000 for the whole path.
const SAME_TIME: f64 = 1e-3;

/// The walk of a student of this teacher. Its times are the recipe's, or spaced as the teacher's, those of a consistency model
/// among its solver's; the first stands for pure noise. On the line between noise and latent the network is never told a later
/// time than that.
///
/// # Errors
/// [`TrainError::Recipe`] about times that the process does not have, or at which a consistency model is not trained.
pub fn rollout(
    section: &recipe::Student,
    teacher: &Process,
    is_on_line: bool,
    consistency: Option<Consistency>,
) -> Result<Rollout, TrainError> {
    let solver = consistency.map(|consistency| solver_times(consistency, teacher)).transpose()?;
    let times = match &section.times {
        Some(times) => times.clone(),
        None => {
            let steps = section.calls();
            let spaced = consistency.map_or_else(|| teacher.spaced(steps), |consistency| consistency.times(teacher, steps));
            let spaced = spaced.map_err(|error| TrainError::recipe("student.steps", format!("is {steps}, but {error}")))?;
            spaced.into_iter().map(|time| teacher.network_time(time)).collect()
        }
    };
    if let Some(solver) = solver {
        let is_trained = |time: &f64| solver.iter().any(|trained| (trained - time).abs() < SAME_TIME);
        if let Some(time) = times.iter().find(|time| !is_trained(time)) {
            let near = solver.iter().min_by(|a, b| (*a - time).abs().total_cmp(&(*b - time).abs())).copied().unwrap_or_default();
            let problem = format!(
                "is {times:?}, but {time} is not among the times of the solver's {} steps; the nearest is {near}, and \
                 student.steps finds such times by itself",
                solver.len()
            );
            return Err(TrainError::recipe("student.times", problem));
        }
    }
    let latest = times.first().copied().unwrap_or_default();
    let process = match (is_on_line, section.init_parameterisation) {
        (true, _) => teacher.of_line_student(latest),
        (false, None) => teacher.clone(),
        (false, Some(own)) => teacher.predicting(own.beside(teacher.parameterisation())).map_err(|error| {
            TrainError::recipe("student.init_parameterisation", format!("is \"{}\", but {error}", own.word()))
        })?,
    };
    if consistency.is_some() && process.grid() != teacher.grid() {
        let problem = "is above 0, but consistency distillation needs a student on its teacher's own noise process, and an earlier \
                       method or student.init puts it on the line between noise and latent; leave one of the two out";
        return Err(TrainError::recipe("lcm.iterations", problem));
    }
    let refuse = |error| TrainError::recipe("student.times", format!("is {times:?}, but {error}"));
    Rollout::new(process, &times, section.sampler).and_then(|rollout| rollout.by(consistency)).map_err(refuse)
}

/// The times at which the solver's steps start, as the network is told them.
fn solver_times(consistency: Consistency, teacher: &Process) -> Result<Vec<f64>, TrainError> {
    let refuse = |error| TrainError::recipe("lcm.solver_steps", format!("is {}, but {error}", consistency.solver_steps));
    let intervals = consistency.intervals(teacher).map_err(refuse)?;
    Ok(intervals.into_iter().map(|[start, _]| teacher.network_time(start)).collect())
}

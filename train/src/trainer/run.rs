//! The loop over the phases of a run.

use std::time::Instant;

use super::checkpoint::{Checkpoint, Checkpoints, Position};
use super::health::Health;
use super::phase::Phase;
use crate::error::{StateDefect, TrainError};
use crate::recipe::Recipe;
use crate::session::logs::{LogLengths, LoggedPicture, Logs, Metrics, MetricsLine, Pace, read_metrics};
use crate::session::progress::Progress;
use crate::session::{Interrupt, RunFolder};
use crate::store::StoredState;

/// A phase that is made when its turn comes, so that only one phase's networks are in memory.
pub struct PhaseSlot<'a> {
    /// The phase's name.
    pub name: &'static str,
    /// What its generator is, in the words of `dmdx_student.json`, for its checkpoints.
    pub student: Option<String>,
    /// Makes the phase; the argument is the final state of the phase before, none where this is the first to run. A
    /// resumed phase is made without it too and is then given its own state.
    #[allow(clippy::type_complexity)]
    pub build: Box<dyn FnOnce(Option<&StoredState>) -> Result<Box<dyn Phase + 'a>, TrainError> + 'a>,
}

/// What was seen of a student during training.
#[derive(Debug)]
pub struct Seen {
    /// Numbers of it, logged with the iteration's.
    pub numbers: Metrics,
    /// What it draws; none where only its health was asked for.
    pub picture: Option<LoggedPicture>,
}

/// How closely somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// At pictures, for people, and their score.
    Whole,
    /// At the numbers that show a collapse, before a checkpoint is written.
    Health,
}

/// Looks at the student of a phase after so many of its iterations.
pub type Look<'a> = dyn FnMut(&dyn Phase, u64, Glance) -> Result<Seen, TrainError> + 'a;

/// What a finished run leaves.
#[derive(Debug)]
pub struct Finished {
    /// The final state of the last phase; none where no phase has an iteration.
    pub state: Option<StoredState>,
    /// The logs, for what is drawn at the end.
    pub logs: Logs,
}

/// Runs all phases in order, from the newest intact checkpoint in `folder` where there is one.
///
/// After every iteration its numbers are logged; checkpoints are written as the recipe says and at the end of each phase, and
/// `look` is called as often as it says. Killed at any moment and run again, it ends with the same bytes in every file, but
/// for `timing.jsonl` and for times and `performance/…` in the event file.
///
/// # Errors
/// Those of the phases; [`TrainError::Interrupted`] after saving where `interrupt` asked to stop;
/// [`TrainError::Health`]; [`TrainError::Write`].
pub fn run(
    folder: &RunFolder,
    recipe: &Recipe,
    interrupt: &Interrupt,
    slots: Vec<PhaseSlot<'_>>,
    look: &mut Look<'_>,
) -> Result<Finished, TrainError> {
    let checkpoints = Checkpoints::new(&folder.checkpoints(), &recipe.checkpoint);
    let (newest, warnings) = checkpoints.newest()?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let lengths = newest.as_ref().map_or_else(LogLengths::default, |found| found.position.logs);
    let mut logs = Logs::open(folder, lengths)?;
    if lengths.events == 0 {
        let resolved = recipe.resolved().map_err(|error| TrainError::recipe("run", error.to_string()))?;
        logs.text("recipe", &format!("```toml\n{resolved}```\n"))?;
    }
    let mut runner = Runner { recipe, interrupt, checkpoints, logs, look };
    let earlier = if newest.is_some() { read_metrics(&folder.metrics())? } else { Vec::new() };
    let mut from = newest;
    let mut previous = None;
    let names: Vec<&'static str> = slots.iter().map(|slot| slot.name).collect();
    for (index, slot) in slots.into_iter().enumerate() {
        match &from {
            Some(Checkpoint { position, .. }) if position.phase_index > index => continue,
            Some(Checkpoint { position, .. }) if position.phase_index == index => {
                if position.phase != slot.name {
                    return Err(TrainError::ResumeMismatch {
                        key: format!("phase {index}"),
                        stored: position.phase.clone(),
                        given: slot.name.to_string(),
                    });
                }
                if position.complete {
                    previous = from.take().map(|found| found.state);
                    continue;
                }
            }
            _ => {}
        }
        let done = runner.phase(index, slot, previous.take(), from.take(), &earlier);
        previous = done.map_err(|error| runner.with_advice(error, &names[..index]))?;
    }
    Ok(Finished { state: previous, logs: runner.logs })
}

struct Runner<'a, 'l> {
    recipe: &'a Recipe,
    interrupt: &'a Interrupt,
    checkpoints: Checkpoints,
    logs: Logs,
    look: &'a mut Look<'l>,
}

impl Runner<'_, '_> {
    /// Whether somebody looks at the student after so many iterations of a phase; no number but 0 is a multiple of 0.
    fn is_watched(&self, iteration: u64) -> bool {
        iteration.is_multiple_of(self.recipe.run.sample_every)
    }

    /// An error of a health check with what can still be done: the checkpoints are all from before it.
    fn with_advice(&self, error: TrainError, before: &[&str]) -> TrainError {
        let TrainError::Health { phase, iteration, reason } = error else { return error };
        let reason = match self.checkpoints.newest_path() {
            Some(path) => {
                let path = path.canonicalize().unwrap_or(path);
                let left_out: String = before.iter().map(|name| format!(" --set {name}.iterations=0")).collect();
                format!(
                    "{reason}; the last good checkpoint is kept, and a new run with other settings begins with it by --out FOLDER \
                     --set student.init={}{left_out}",
                    path.display()
                )
            }
            None => format!("{reason}; nothing was saved before, so start again with other settings"),
        };
        TrainError::Health { phase, iteration, reason }
    }

    /// Runs one phase to its end and returns its final state, or `previous` where it has no iteration.
    fn phase(
        &mut self,
        phase_index: usize,
        slot: PhaseSlot<'_>,
        previous: Option<StoredState>,
        from: Option<Checkpoint>,
        earlier: &[MetricsLine],
    ) -> Result<Option<StoredState>, TrainError> {
        let mut phase = (slot.build)(previous.as_ref())?;
        let total = phase.iterations();
        if total == 0 {
            return Ok(previous);
        }
        let mut first = 0;
        if let Some(Checkpoint { position, state, .. }) = from {
            state.load(phase.trained_roles())?;
            first = position.iteration;
        }
        let checkpoints = self.checkpoints.of_student(slot.student.as_deref());
        let mut health = Health::new(slot.name, &self.recipe.health, earlier);
        let mut progress = Progress::start(slot.name, total, first);
        for index in first..total {
            let started = Instant::now();
            let mut metrics = phase.iteration(index)?;
            let pace = Pace { took: started.elapsed(), samples: phase.samples() };
            let iteration = index + 1;
            let complete = iteration == total;
            let glance = match (self.is_watched(iteration), complete || self.checkpoints.due(iteration)) {
                (true, _) => Some(Glance::Whole),
                (false, true) => Some(Glance::Health),
                (false, false) => None,
            };
            if let Some(glance) = glance.filter(|_| metrics.values().all(|value| value.is_finite())) {
                let seen = (self.look)(&*phase, iteration, glance)?;
                metrics.extend(seen.numbers);
                if let Some(picture) = seen.picture {
                    self.logs.image(&format!("{}/samples", slot.name), picture)?;
                }
            }
            self.logs.iteration(slot.name, index, &metrics, pace)?;
            progress.advance(1, || losses(&metrics));
            if let Some(warning) = health.observe(index, complete, &metrics)? {
                eprintln!("warning: {warning}");
            }
            let interrupted = self.interrupt.requested();
            if complete || interrupted || self.checkpoints.due(iteration) {
                let logs = self.logs.sync()?;
                let position = Position { phase_index, phase: slot.name.to_string(), iteration, complete, logs };
                let look = |name: &str, values: &[f32]| health.weights(index, name, values);
                checkpoints.save(&position, &phase.trained_roles(), look)?;
                if interrupted {
                    let place = format!("phase {} after iteration {iteration} of {total}", slot.name);
                    return Err(TrainError::Interrupted { place });
                }
                if complete {
                    return Ok(self.checkpoints.end_of(slot.name)?.map(|end| end.state));
                }
            }
        }
        Err(TrainError::State { phase: slot.name.to_string(), defect: StateDefect::Beyond { done: first, total } })
    }
}

/// The losses of an iteration for the progress line.
fn losses(metrics: &Metrics) -> String {
    let losses = metrics.iter().filter_map(|(name, value)| Some(format!("{} {value:.3}", name.strip_prefix("loss_")?)));
    losses.collect::<Vec<_>>().join(" ")
}

//! Judging: what teacher and student draw, how good it is and how different, on the way and at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::models::{Drawer, Models};
use super::pictures::{PictureSet, Pictures, SEEDS};
use crate::error::TrainError;
use crate::recipe::Recipe;
use crate::report::{Score, Scores, Sheet, SheetRow, samples, signs};
use crate::session::logs::{LoggedPicture, Metrics, MetricsLine, read_metrics};
use crate::session::{Interrupt, RunFolder};
use crate::store::StoredState;
use crate::trainer::health::ACCURACY;
use crate::trainer::{Phase, Seen};

/// Has pictures drawn and looks at them.
pub(super) struct Judge<'a, M: Models> {
    pub recipe: &'a Recipe,
    pub folder: &'a RunFolder,
    /// How many prompts there are.
    pub prompts: usize,
    pub models: &'a M,
    pub conditions: &'a M::ConditionStore,
}

/// What teacher and students draw, to be looked at.
pub(super) struct Shown {
    /// Pictures, or the stills of videos.
    pub sheet: Sheet,
    /// The same moving, a sheet for every frame; none for pictures.
    pub moving: Vec<Sheet>,
}

/// Somebody's pictures of a few prompts, several of each.
struct Seeds {
    /// Those of the first prompt.
    shown: Vec<f32>,
    spread: f64,
    /// Whether every value of all is a number.
    are_finite: bool,
    /// What they show of a collapse.
    signs: Metrics,
}

impl Seeds {
    /// The numbers of a phase's student after so many iterations, unless what it draws is not finite, or outside a range of
    /// brightness.
    fn numbers(&self, phase: &dyn Phase, iteration: u64, [low, high]: [f64; 2]) -> Result<Metrics, TrainError> {
        let stop = |reason| Err(TrainError::Health { phase: phase.name().to_string(), iteration: iteration - 1, reason });
        if !self.are_finite {
            return stop("the student draws values that are not finite; lower the learning rates".to_string());
        }
        if let Some(brightness) = self.signs.get("picture_brightness").filter(|value| !(low..=high).contains(*value)) {
            return stop(format!(
                "what the student draws is {brightness:.4} bright on average, outside {low} to {high} (health.brightness)"
            ));
        }
        let mut numbers = self.signs.clone();
        numbers.insert("spread".to_string(), self.spread);
        Ok(numbers)
    }
}

impl<M: Models> Judge<'_, M> {
    /// Looks at the student of a phase after so many of its iterations: a sheet in the run's `samples`, its spread, and its
    /// score where the recipe asks for one.
    ///
    /// # Errors
    /// [`TrainError::Health`] where a picture is not finite, or all are too dark or too bright; those of the networks and of the disk.
    pub fn look(&self, phase: &dyn Phase, iteration: u64) -> Result<Seen, TrainError> {
        let who = Drawer::Training(phase);
        let seeds = self.seeds(who)?;
        let set = PictureSet::look(self.recipe.run.sample_count, self.prompts);
        // Looked at before anything is scored, since no scorer can judge what is not finite.
        let mut numbers = seeds.numbers(phase, iteration, self.recipe.health.brightness)?;
        let Pictures { values, score, .. } = self.models.evaluate(who, self.conditions, &set, set.count, None)?;
        let rows = vec![
            SheetRow { label: format!("{} {iteration}: {}", phase.name(), self.first_prompt()?), pictures: seeds.shown },
            SheetRow { label: format!("{} prompts", set.count), pictures: values },
        ];
        let picture = self.models.film().sheet(rows).draw()?;
        let png = samples::png(&picture)?;
        let name = format!("{}-{iteration:09}.png", phase.name());
        samples::write_png(&self.folder.samples().join(name), &picture)?;
        let named = score.into_iter().flatten().map(|(name, value)| (format!("score_{name}"), value));
        numbers.extend(named);
        Ok(Seen { numbers, picture: Some(LoggedPicture { width: picture.width(), height: picture.height(), png }) })
    }

    /// As [`Judge::look`], but no more than what shows whether the student has collapsed.
    ///
    /// # Errors
    /// As [`Judge::look`].
    pub fn glance(&self, phase: &dyn Phase, iteration: u64) -> Result<Seen, TrainError> {
        let numbers = self.seeds(Drawer::Training(phase))?.numbers(phase, iteration, self.recipe.health.brightness)?;
        Ok(Seen { numbers, picture: None })
    }

    /// Teacher and students on the same prompts and noise, beside the data and beside pictures that the guided teacher drew of
    /// other noise; `states` are the ends of the phases, in their order.
    ///
    /// # Errors
    /// Those of the networks and of the disk; [`TrainError::Interrupted`].
    pub fn judge(&self, states: &[StoredState], interrupt: &Interrupt) -> Result<(Shown, Scores), TrainError> {
        let (recipe, film) = (self.recipe, self.models.film());
        let keep = film.samples().min(self.prompts);
        let set = match &recipe.score {
            Some(score) => PictureSet::evaluation(score.count_per_prompt, self.prompts),
            None => PictureSet { count: keep, ..PictureSet::evaluation(1, self.prompts) },
        };
        let reference = self.models.reference(&self.folder.reference(), self.conditions, interrupt)?;
        let accuracies = accuracies(&read_metrics(&self.folder.metrics())?, recipe.health.window);
        let (mut many, mut few, mut scores) = (Vec::new(), Vec::new(), Scores::new());
        let drawers = self.drawers(states);
        for Judged { name, label, who, is_shown } in drawers {
            interrupt.check(|| format!("the evaluation of {name}"))?;
            let drawn = self.models.evaluate(who, self.conditions, &set, keep, reference.as_ref())?;
            let seeds = self.seeds(who)?;
            let mut score: Score = drawn.score.unwrap_or_default();
            // Of all pictures that are scored; where that is one of a prompt or none, of the seeds that are shown.
            let spread = drawn.spread.unwrap_or(seeds.spread);
            score.insert("spread".to_string(), spread);
            if let Some(accuracy) = who.phase().and_then(|phase| accuracies.get(phase)) {
                score.insert(ACCURACY.to_string(), *accuracy);
            }
            let numbers: Vec<String> = score.iter().map(|(number, value)| format!("{number} {value:.4}")).collect();
            eprintln!("{name}: {}", numbers.join(", "));
            few.push(SheetRow { label: format!("{label}: {}", beside_the_teacher(&score)), pictures: seeds.shown });
            scores.insert(name, score);
            if is_shown {
                many.push(SheetRow { label, pictures: drawn.values });
            }
        }
        let words = format!("{}, {SEEDS} seeds:", self.first_prompt()?);
        many.push(SheetRow { label: words, pictures: Vec::new() });
        many.extend(few);
        Ok((Shown { moving: film.moving(&many), sheet: film.sheet(many) }, scores))
    }

    fn drawers<'s>(&self, states: &'s [StoredState]) -> Vec<Judged<'s>> {
        let (steps, calls) = (self.recipe.pairs.steps, self.recipe.student.calls());
        let times = |count: usize| if count == 1 { "1 step".to_string() } else { format!("{count} steps") };
        let teacher = |steps: u32| Judged {
            name: format!("teacher_{steps}"),
            label: format!("teacher, {}", times(steps as usize)),
            who: Drawer::Teacher { steps },
            is_shown: true,
        };
        let (student, words) = (format!("student_{calls}"), format!("student, {}", times(calls)));
        let mut all = vec![teacher(steps)];
        // As many steps as the student's, and one.
        let fewer = BTreeSet::from([u32::try_from(calls).unwrap_or(u32::MAX), 1]);
        all.extend(fewer.into_iter().rev().filter(|&count| count < steps).map(teacher));
        if let Some((last, earlier)) = states.split_last() {
            all.extend(earlier.iter().map(|state| Judged {
                name: format!("{student}_after_{}", state.phase()),
                label: format!("{words}, after {}", state.phase()),
                who: Drawer::Student(state),
                is_shown: false,
            }));
            all.push(Judged { name: student, label: words, who: Drawer::Student(last), is_shown: true });
        }
        all
    }

    fn seeds(&self, who: Drawer<'_>) -> Result<Seeds, TrainError> {
        let set = PictureSet::seeds(self.prompts);
        let Pictures { values: drawn, spread, .. } = self.models.evaluate(who, self.conditions, &set, set.count, None)?;
        let film = self.models.film();
        let (spread, are_finite) = (spread.unwrap_or_default(), drawn.iter().all(|value| value.is_finite()));
        let signs = signs(&drawn, film.frames.unwrap_or(1), [film.height, film.width]);
        Ok(Seeds { spread, are_finite, signs, shown: drawn.into_iter().take(set.group * film.values()).collect() })
    }

    fn first_prompt(&self) -> Result<String, TrainError> {
        let words = self.models.prompt(PictureSet::seeds(self.prompts).prompt(0))?;
        let short: String = words.chars().take(60).collect();
        Ok(if short == words { words } else { format!("{short}...") })
    }
}

/// How often the discriminator of every phase was right, on average over its last iterations, `window` at most.
fn accuracies(lines: &[MetricsLine], window: u64) -> BTreeMap<String, f64> {
    let mut of_phase: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in lines {
        if let Some(Some(value)) = line.metrics.get(ACCURACY) {
            of_phase.entry(line.phase.clone()).or_default().push(*value);
        }
    }
    let last = |values: Vec<f64>| {
        let last = &values[values.len().saturating_sub(usize::try_from(window).unwrap_or(usize::MAX))..];
        last.iter().sum::<f64>() / last.len() as f64
    };
    of_phase.into_iter().map(|(phase, values)| (phase, last(values))).collect()
}

/// What a sheet says of somebody: how different the pictures of a prompt are, how much of the teacher's they reach, and how far
/// they are from it.
fn beside_the_teacher(score: &Score) -> String {
    let named = [("spread", "spread", 3), ("coverage", "coverage", 3), ("frechet_to_teacher", "to teacher", 1)];
    let said = named.into_iter().filter_map(|(name, word, digits)| Some(format!("{word} {:.digits$}", score.get(name)?)));
    said.collect::<Vec<_>>().join(", ")
}

/// Somebody whose pictures are judged.
struct Judged<'a> {
    /// The key in `score.json`.
    name: String,
    label: String,
    who: Drawer<'a>,
    /// Whether there are pictures of every prompt on the sheet.
    is_shown: bool,
}

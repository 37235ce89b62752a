//! Judging: what teacher and student draw, how good it is and how different, on the way and at the end.

use super::models::{Drawer, Models};
use super::pictures::{PictureSet, Pictures, SEEDS};
use crate::error::TrainError;
use crate::recipe::Recipe;
use crate::report::{Score, Scores, Sheet, SheetRow, samples, spread};
use crate::session::logs::{LoggedPicture, Metrics};
use crate::session::{Interrupt, RunFolder};
use crate::store::StoredState;
use crate::trainer::{Phase, Seen};

/// Pictures of each model on the sheet of samples, at most.
const SAMPLES: usize = 60;
const COLUMNS: u32 = 10;
/// Sheets are enlarged to about this many pixels a picture.
const CELL: u32 = 64;

/// Has pictures drawn and looks at them.
pub(super) struct Judge<'a, M: Models> {
    pub recipe: &'a Recipe,
    pub folder: &'a RunFolder,
    /// How many prompts there are.
    pub prompts: usize,
    pub models: &'a M,
    pub conditions: &'a M::ConditionStore,
}

/// Somebody's pictures of a few prompts, several of each.
struct Seeds {
    /// Those of the first prompt.
    shown: Vec<f32>,
    spread: f64,
    /// Whether every value of all is a number.
    are_finite: bool,
}

impl<M: Models> Judge<'_, M> {
    /// Looks at the student of a phase after so many of its iterations: a sheet in the run's `samples`, its spread, and its
    /// score where the recipe asks for one.
    ///
    /// # Errors
    /// [`TrainError::Health`] where a picture is not finite; those of the networks and of the disk.
    pub fn look(&self, phase: &dyn Phase, iteration: u64) -> Result<Seen, TrainError> {
        let who = Drawer::Training(phase);
        let seeds = self.seeds(who)?;
        let set = PictureSet::look(self.recipe.run.sample_count, self.prompts);
        // Looked at before anything is scored, since no scorer can judge what is not finite.
        if !seeds.are_finite {
            let reason = "the student draws values that are not finite; lower the learning rates".to_string();
            return Err(TrainError::Health { phase: phase.name().to_string(), iteration: iteration - 1, reason });
        }
        let Pictures { values, score } = self.models.evaluate(who, self.conditions, &set, set.count)?;
        let rows = vec![
            SheetRow { label: format!("{} {iteration}: {}", phase.name(), self.first_prompt()?), pictures: seeds.shown },
            SheetRow { label: format!("{} prompts", set.count), pictures: values },
        ];
        let picture = self.sheet(rows).draw()?;
        let png = samples::png(&picture)?;
        let name = format!("{}-{iteration:09}.png", phase.name());
        samples::write_png(&self.folder.samples().join(name), &picture)?;
        let mut numbers = Metrics::from([("spread".to_string(), seeds.spread)]);
        let named = score.into_iter().flatten().map(|(name, value)| (format!("score_{name}"), value));
        numbers.extend(named);
        Ok(Seen { numbers, picture: LoggedPicture { width: picture.width(), height: picture.height(), png } })
    }

    /// Teacher and students on the same prompts and noise; `states` are the ends of the phases, in their order.
    ///
    /// # Errors
    /// Those of the networks; [`TrainError::Interrupted`].
    pub fn judge(&self, states: &[StoredState], interrupt: &Interrupt) -> Result<(Sheet, Scores), TrainError> {
        let recipe = self.recipe;
        let keep = SAMPLES.min(self.prompts);
        let count = recipe.score.as_ref().map_or(keep, |score| score.count_per_prompt.saturating_mul(self.prompts));
        let set = PictureSet::evaluation(count, self.prompts);
        let (mut many, mut few, mut scores) = (Vec::new(), Vec::new(), Scores::new());
        let drawers = self.drawers(states);
        for Judged { name, label, who, is_shown } in drawers {
            interrupt.check(|| format!("the evaluation of {name}"))?;
            let Pictures { values: pictures, score } = self.models.evaluate(who, self.conditions, &set, keep)?;
            let seeds = self.seeds(who)?;
            let mut score: Score = score.unwrap_or_default();
            score.insert("spread".to_string(), seeds.spread);
            let numbers: Vec<String> = score.iter().map(|(number, value)| format!("{number} {value:.4}")).collect();
            eprintln!("{name}: {}", numbers.join(", "));
            scores.insert(name, score);
            few.push(SheetRow { label: format!("{label}: spread {:.3}", seeds.spread), pictures: seeds.shown });
            if is_shown {
                many.push(SheetRow { label, pictures });
            }
        }
        let measured = PictureSet::seeds(self.prompts).count / SEEDS;
        let words = format!("{}, {SEEDS} seeds (spread of {measured} prompts):", self.first_prompt()?);
        many.push(SheetRow { label: words, pictures: Vec::new() });
        Ok((self.sheet(many.into_iter().chain(few).collect()), scores))
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
        all.extend((steps > 1).then(|| teacher(1)));
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
        let drawn = self.models.evaluate(who, self.conditions, &set, set.count)?.values;
        let (height, width) = self.models.picture_size();
        let values = 3 * height as usize * width as usize;
        let spread = spread(&drawn, set.group, values);
        let are_finite = drawn.iter().all(|value| value.is_finite());
        Ok(Seeds { spread, are_finite, shown: drawn.into_iter().take(set.group * values).collect() })
    }

    fn first_prompt(&self) -> Result<String, TrainError> {
        let words = self.models.prompt(PictureSet::seeds(self.prompts).prompt(0))?;
        let short: String = words.chars().take(60).collect();
        Ok(if short == words { words } else { format!("{short}...") })
    }

    fn sheet(&self, rows: Vec<SheetRow>) -> Sheet {
        let (height, width) = self.models.picture_size();
        Sheet { height, width, columns: COLUMNS, scale: (CELL / width.max(1)).max(1), rows }
    }
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

//! A whole job: pairs, phases, and what is left for people, in a run folder that can be resumed at any moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::{PairPlan, PairStore, ShardInputs, collect};
use crate::error::TrainError;
use crate::recipe::LoadedRecipe;
use crate::report::score::{self, Score, Scores};
use crate::report::{Manifest, Sheet, SheetRow, loss, samples};
use crate::session::logs::read_metrics;
use crate::session::{Draws, Interrupt, RunFolder};
use crate::store::StoredState;
use crate::store::atomic::write_folder;
use crate::trainer::{Finished, PhaseSlot, run};

/// Pictures of each model on the sheet of samples, at most.
const SAMPLES: usize = 60;
const COLUMNS: u32 = 10;
/// Sheets are enlarged to about this many pixels a picture.
const CELL: u32 = 64;

/// What a job needs of the networks.
pub trait Models {
    /// SHA-256 of every input by the key of the recipe that names it.
    fn inputs(&self) -> Result<BTreeMap<String, String>, TrainError>;

    /// Versions of the libraries that the numbers come from.
    fn versions(&self) -> BTreeMap<String, String>;

    /// Choices that are not the recipe's, by name: resolved taps, the unconditional embedding, the device.
    fn choices(&self) -> BTreeMap<String, String>;

    /// What the ODE pairs are.
    fn pair_plan(&self) -> Result<PairPlan, TrainError>;

    /// The teacher's latents of one shard, `[count, ..latent_shape]`.
    fn teacher_latents(&self, inputs: &ShardInputs) -> Result<Vec<f32>, TrainError>;

    /// The phases in order; `pairs` is there where a phase needs pairs.
    fn phases<'a>(&'a self, pairs: Option<PairStore>) -> Result<Vec<PhaseSlot<'a>>, TrainError>;

    /// Writes the student as a pipeline in the reference library's layout.
    fn save_student(&self, state: &StoredState, folder: &Path) -> Result<(), TrainError>;

    /// Writes and verifies the student's bundle for one target.
    fn export(&self, state: &StoredState, target: &str, folder: &Path) -> Result<(), TrainError>;

    /// Height and width of a picture.
    fn picture_size(&self) -> (u32, u32);

    /// Draws a picture of every prompt id from its noise `[count, ..latent_shape]`; returns the first `keep` of them,
    /// `[keep, 3, height, width]` in [-1, 1], and the score of all where the recipe asks for one.
    fn evaluate(
        &self,
        who: Drawer<'_>,
        prompts: &[u32],
        noise: &[f32],
        keep: usize,
    ) -> Result<(Vec<f32>, Option<Score>), TrainError>;
}

/// Who draws.
#[derive(Clone, Copy, Debug)]
pub enum Drawer<'a> {
    /// The teacher, in so many steps, guided by the middle of the recipe's range.
    Teacher {
        /// Sampler steps.
        steps: u32,
    },
    /// The student of this state, in one step.
    Student(&'a StoredState),
}

/// Where the run folder of a recipe is, unless somebody says otherwise: `runs/` and the recipe's name, or its folder's
/// name where it has the usual one.
pub fn default_folder(recipe: &Path) -> PathBuf {
    let stem = recipe.file_stem().unwrap_or_default();
    let folder = recipe.parent().and_then(Path::file_name);
    Path::new("runs").join(if stem == "dmdx" { folder.unwrap_or(stem) } else { stem })
}

/// Runs the job of `loaded` in `path`, a new folder or, with `resume`, one that has been run before.
///
/// # Errors
/// Everything that [`TrainError`] names. After any of them `resume` continues.
pub fn work(
    loaded: &LoadedRecipe,
    path: &Path,
    resume: bool,
    interrupt: &Interrupt,
    models: &impl Models,
) -> Result<(), TrainError> {
    let recipe = &loaded.recipe;
    let mut manifest = Manifest::new(loaded);
    manifest.inputs = models.inputs()?;
    manifest.versions.extend(models.versions());
    manifest.choices.extend(models.choices());
    let folder = if resume { RunFolder::resume(path)? } else { RunFolder::create(path)? };
    if let Some(stored) = Manifest::read(&folder.manifest())? {
        stored.check_resume(&manifest)?;
    }
    manifest.write(&folder.manifest())?;

    let plan = models.pair_plan()?;
    let pairs = if recipe.adp.as_ref().is_some_and(|adp| adp.iterations > 0) {
        let place = recipe.pairs.path.as_ref().map_or_else(|| folder.pairs(), |path| loaded.resolve(path));
        Some(collect(&place, &plan, interrupt, |inputs| models.teacher_latents(inputs))?)
    } else {
        None
    };
    let Finished { state, mut logs } = run(&folder, recipe, interrupt, models.phases(pairs)?)?;
    let state = state.ok_or_else(|| TrainError::NoStudent { reason: "no phase of the recipe has an iteration".to_string() })?;

    write_folder(&folder.join("student"), |place| models.save_student(&state, place))?;
    for target in &recipe.export.targets {
        interrupt.check(|| "the export".to_string())?;
        let name = if recipe.export.targets.len() == 1 { "bundle".to_string() } else { format!("bundle-{target}") };
        write_folder(&folder.join(&name), |place| models.export(&state, target, place))?;
    }
    let losses = loss::draw(&read_metrics(&folder.metrics())?)?;
    samples::write_png(&folder.join("loss.png"), &losses)?;

    let (sheet, scores) = evaluate(loaded, &plan, interrupt, models, &state)?;
    let picture = sheet.draw()?;
    let png = samples::png(&picture)?;
    samples::write_png(&folder.join("samples.png"), &picture)?;
    logs.image("samples", 0, picture.width(), picture.height(), png)?;
    logs.sync()?;
    if !scores.is_empty() {
        score::write(&folder.join("score.json"), &scores)?;
    }
    Ok(())
}

/// Teacher and student on the same prompts and noise.
fn evaluate(
    loaded: &LoadedRecipe,
    plan: &PairPlan,
    interrupt: &Interrupt,
    models: &impl Models,
    state: &StoredState,
) -> Result<(Sheet, Scores), TrainError> {
    let recipe = &loaded.recipe;
    let ids = || 0..u32::try_from(plan.prompt_count).unwrap_or(u32::MAX);
    // Every prompt once, then every prompt again, so that the first pictures are of different prompts.
    let rounds = recipe.score.as_ref().map_or(1, |score| score.count_per_prompt);
    let mut prompts: Vec<u32> = (0..rounds).flat_map(|_| ids()).collect();
    if recipe.score.is_none() {
        prompts.truncate(SAMPLES);
    }
    let shape: Vec<usize> = std::iter::once(prompts.len()).chain(plan.latent_shape.iter().copied()).collect();
    let noise = Draws::new(recipe.run.seed, "evaluation", 0).normal(&shape);
    let keep = prompts.len().min(SAMPLES).min(plan.prompt_count);
    let steps = recipe.pairs.steps;
    let drawers = [
        (format!("teacher_{steps}"), format!("teacher, {steps} steps"), Drawer::Teacher { steps }),
        ("teacher_1".to_string(), "teacher, 1 step".to_string(), Drawer::Teacher { steps: 1 }),
        ("student_1".to_string(), "student, 1 step".to_string(), Drawer::Student(state)),
    ];
    let (height, width) = models.picture_size();
    let scale = (CELL / width.max(1)).max(1);
    let mut sheet = Sheet { height, width, columns: COLUMNS, scale, rows: Vec::new() };
    let mut scores = Scores::new();
    for (name, label, who) in drawers {
        interrupt.check(|| format!("the evaluation of {name}"))?;
        let (pictures, score) = models.evaluate(who, &prompts, &noise, keep)?;
        if let Some(score) = score {
            eprintln!(
                "{name}: digit accuracy {:.4}, colour accuracy {:.4}, Fréchet distance {:.2}",
                score.digit_accuracy, score.colour_accuracy, score.frechet
            );
            scores.insert(name, score);
        }
        sheet.rows.push(SheetRow { label, pictures });
    }
    Ok((sheet, scores))
}

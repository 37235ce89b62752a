//! A whole job: pairs, phases, and what is left for people, in a run folder that can be resumed at any moment.

use std::path::{Path, PathBuf};

use super::judge::Judge;
use super::models::Models;
use crate::data::collect;
use crate::error::TrainError;
use crate::method::{self, Need};
use crate::recipe::LoadedRecipe;
use crate::report::{Manifest, loss, samples, score};
use crate::session::logs::{LoggedPicture, read_metrics};
use crate::session::{Interrupt, RunFolder};
use crate::store::StoredState;
use crate::store::atomic::{write_atomically, write_folder};
use crate::trainer::{Checkpoints, Finished, Glance, Phase, run};

/// The student's folder in the run's.
const STUDENT: &str = "student";

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
    let loaded = models.recipe(loaded);
    let recipe = &loaded.recipe;
    let mut manifest = Manifest::new(loaded)?;
    manifest.inputs = models.inputs()?;
    manifest.versions.extend(models.versions());
    manifest.choices.extend(models.choices()?);
    let folder = if resume { RunFolder::resume(path)? } else { RunFolder::create(path)? };
    if let Some(stored) = Manifest::read(&folder.manifest())? {
        stored.check_resume(&manifest)?;
    }
    manifest.write(&folder.manifest())?;

    let conditions = models.conditions(&folder.conditions(), interrupt)?;
    let plan = models.pair_plan()?;
    let pairs = if method::of(recipe).any(|method| (method.needs)(recipe).contains(&Need::Pairs)) {
        let place = recipe.pairs.path.as_ref().map_or_else(|| folder.pairs(), |path| loaded.resolve(path));
        Some(collect(&place, &plan, interrupt, |inputs| models.teacher_latents(&conditions, inputs))?)
    } else {
        None
    };
    let latents = if method::of(recipe).any(|method| (method.needs)(recipe).contains(&Need::Latents)) {
        let named = recipe.data.as_ref().and_then(|data| data.latents.as_ref());
        let place = named.map_or_else(|| folder.latents(), |path| loaded.resolve(path));
        Some(models.real_latents(&place, interrupt)?)
    } else {
        None
    };
    let judge = Judge { recipe, folder: &folder, prompts: plan.prompt_count, models, conditions: &conditions };
    let mut look = |phase: &dyn Phase, iteration: u64, glance: Glance| match glance {
        Glance::Whole => judge.look(phase, iteration),
        Glance::Health => judge.glance(phase, iteration),
    };
    let Finished { state, mut logs } = run(&folder, recipe, interrupt, models.phases(&conditions, pairs, latents)?, &mut look)?;
    let state = state.ok_or_else(|| TrainError::NoStudent { reason: "no phase of the recipe has an iteration".to_string() })?;

    write_folder(&folder.join(STUDENT), |place| models.save_student(&state, place))?;
    if let Some(name) = models.factors() {
        write_folder(&folder.join(name), |place| models.save_factors(&state, place))?;
    }
    let exported = bundles(&folder, &recipe.export.targets, interrupt, models)?;
    let losses = loss::draw(&read_metrics(&folder.metrics())?)?;
    samples::write_png(&folder.join("loss.png"), &losses)?;

    let mut states = earlier(&folder, loaded, &state)?;
    states.push(state);
    let (shown, scores) = judge.judge(&states, interrupt)?;
    let picture = shown.sheet.draw()?;
    samples::write_png(&folder.join("samples.png"), &picture)?;
    logs.image("samples", LoggedPicture { width: picture.width(), height: picture.height(), png: samples::png(&picture)? })?;
    let named = |who: &String, number: &String| format!("score/{who}/{number}");
    logs.scalars(scores.iter().flat_map(|(who, score)| score.iter().map(move |(number, &value)| (named(who, number), value))))?;
    if !shown.moving.is_empty() {
        let moving = samples::moving(&shown.moving)?;
        write_atomically(&folder.join("animation.png"), |writer| writer.write_all(&moving.png))?;
        logs.image("animation", moving)?;
    }
    logs.sync()?;
    score::write(&folder.join("score.json"), &scores)?;
    models.write_cards(&folder.join(STUDENT), &exported, &scores)
}

/// The ends of the phases before the last.
fn earlier(folder: &RunFolder, loaded: &LoadedRecipe, last: &StoredState) -> Result<Vec<StoredState>, TrainError> {
    let checkpoints = Checkpoints::new(&folder.checkpoints(), &loaded.recipe.checkpoint);
    let phases = method::of(&loaded.recipe).map(|method| method.section.name).filter(|name| *name != last.phase());
    phases.filter_map(|name| checkpoints.end_of(name).transpose()).map(|found| found.map(|end| end.state)).collect()
}

/// The bundles of all targets, from the student's folder, which is opened once.
fn bundles(
    folder: &RunFolder,
    targets: &[String],
    interrupt: &Interrupt,
    models: &impl Models,
) -> Result<Vec<PathBuf>, TrainError> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let student = models.open_student(&folder.join(STUDENT))?;
    let export = |target: &String| {
        interrupt.check(|| "the export".to_string())?;
        let name = if targets.len() == 1 { "bundle".to_string() } else { format!("bundle-{target}") };
        let place = folder.join(&name);
        models.export(&student, target, &place).map(|()| place)
    };
    targets.iter().map(export).collect()
}

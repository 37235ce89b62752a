//! A whole job: pairs, phases, and what is left for people, in a run folder that can be resumed at any moment.

use std::path::{Path, PathBuf};

use super::models::{Drawer, Models};
use super::pictures::{PictureSet, Pictures};
use crate::data::{PairPlan, collect};
use crate::error::TrainError;
use crate::method::{self, Need};
use crate::recipe::LoadedRecipe;
use crate::report::score::{self, Scores};
use crate::report::{Manifest, Sheet, SheetRow, loss, samples};
use crate::session::logs::read_metrics;
use crate::session::{Interrupt, RunFolder};
use crate::store::StoredState;
use crate::store::atomic::write_folder;
use crate::trainer::{Finished, run};

/// The student's folder in the run's.
const STUDENT: &str = "student";
/// Pictures of each model on the sheet of samples, at most.
const SAMPLES: usize = 60;
const COLUMNS: u32 = 10;
/// Sheets are enlarged to about this many pixels a picture.
const CELL: u32 = 64;

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
    let pairs = if method::of(recipe).any(|method| method.needs.contains(&Need::Pairs)) {
        let place = recipe.pairs.path.as_ref().map_or_else(|| folder.pairs(), |path| loaded.resolve(path));
        Some(collect(&place, &plan, interrupt, |inputs| models.teacher_latents(&conditions, inputs))?)
    } else {
        None
    };
    let Finished { state, mut logs } = run(&folder, recipe, interrupt, models.phases(&conditions, pairs)?)?;
    let state = state.ok_or_else(|| TrainError::NoStudent { reason: "no phase of the recipe has an iteration".to_string() })?;

    write_folder(&folder.join(STUDENT), |place| models.save_student(&state, place))?;
    bundles(&folder, &recipe.export.targets, interrupt, models)?;
    let losses = loss::draw(&read_metrics(&folder.metrics())?)?;
    samples::write_png(&folder.join("loss.png"), &losses)?;

    let (sheet, scores) = evaluate(loaded, &plan, interrupt, models, &conditions, &state)?;
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

/// The bundles of all targets, from the student's folder, which is opened once.
fn bundles(folder: &RunFolder, targets: &[String], interrupt: &Interrupt, models: &impl Models) -> Result<(), TrainError> {
    if targets.is_empty() {
        return Ok(());
    }
    let student = models.open_student(&folder.join(STUDENT))?;
    for target in targets {
        interrupt.check(|| "the export".to_string())?;
        let name = if targets.len() == 1 { "bundle".to_string() } else { format!("bundle-{target}") };
        models.export(&student, target, &folder.join(&name))?;
    }
    Ok(())
}

/// Teacher and student on the same prompts and noise.
fn evaluate<M: Models>(
    loaded: &LoadedRecipe,
    plan: &PairPlan,
    interrupt: &Interrupt,
    models: &M,
    conditions: &M::ConditionStore,
    state: &StoredState,
) -> Result<(Sheet, Scores), TrainError> {
    let recipe = &loaded.recipe;
    let keep = SAMPLES.min(plan.prompt_count);
    let count = recipe.score.as_ref().map_or(keep, |score| score.count_per_prompt.saturating_mul(plan.prompt_count));
    let set = PictureSet::evaluation(count, plan.prompt_count);
    let steps = recipe.pairs.steps;
    let calls = recipe.student.calls();
    let drawers = [
        (format!("teacher_{steps}"), format!("teacher, {steps} steps"), Drawer::Teacher { steps }),
        ("teacher_1".to_string(), "teacher, 1 step".to_string(), Drawer::Teacher { steps: 1 }),
        (
            format!("student_{calls}"),
            format!("student, {calls} step{}", if calls == 1 { "" } else { "s" }),
            Drawer::Student(state),
        ),
    ];
    let (height, width) = models.picture_size();
    let scale = (CELL / width.max(1)).max(1);
    let mut sheet = Sheet { height, width, columns: COLUMNS, scale, rows: Vec::new() };
    let mut scores = Scores::new();
    for (name, label, who) in drawers {
        interrupt.check(|| format!("the evaluation of {name}"))?;
        let Pictures { values: pictures, score } = models.evaluate(who, conditions, &set, keep)?;
        if let Some(score) = score {
            let numbers: Vec<String> = score.iter().map(|(number, value)| format!("{number} {value:.4}")).collect();
            eprintln!("{name}: {}", numbers.join(", "));
            scores.insert(name, score);
        }
        sheet.rows.push(SheetRow { label, pictures });
    }
    Ok((sheet, scores))
}

//! A pipeline to a bundle: networks, tokenizers, configurations and `dmdx.json`, written aside and renamed into place.

mod about;
mod component;
mod destination;
mod hash;
mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use component::{ComponentOptions, ComponentReport, export_component};
use destination::Destination;
pub use destination::check_destination;
use dmdx_graph::ir::Bindings;
use dmdx_graph::store::{hub, parts};
use dmdx_importer::Pipeline;
use dmdx_importer::hf::tokenizer;
use dmdx_runtime::card::{self, Notes};
pub use dmdx_runtime::manifest::Role;
use dmdx_runtime::manifest::{self, GuidanceRange, Manifest, Provenance, Unconditional, Verification};
use dmdx_runtime::process::{Consistency, NoiseSchedule, Parameterisation, StepRule};
use dmdx_runtime::student::{Diffusers, StudentInfo};
pub use record::ComponentRecord;

use crate::error::{ExportError, Result, io};
use crate::lower::lower;
use crate::model::{GraphReport, export_graph};
use crate::onnx::WriteOptions;
use crate::options::GraphOptions;
use crate::source::{Facts, Source, SourceModel};
use crate::targets::{COMPAT, Target};
use crate::verify::{Verifier, WrittenModel, run_sizes};

/// How a bundle is made.
pub struct BundleOptions<'a> {
    /// What the ONNX files are written for.
    pub target: &'static Target,
    /// What the networks are.
    pub role: Role,
    /// The times fed to the network, strictly falling.
    pub steps: Vec<f64>,
    /// What happens between two steps.
    pub sampler: StepRule,
    /// How it was distilled, where it is a consistency model.
    pub consistency: Option<Consistency>,
    /// What the output means; `None` takes the scheduler's `prediction_type`.
    pub parameterisation: Option<Parameterisation>,
    /// The noise process; `None` takes the scheduler's.
    pub schedule: Option<NoiseSchedule>,
    /// What the unconditional half of guidance is fed; `None` takes the pipeline's.
    pub unconditional: Option<Unconditional>,
    /// Weight of classifier-free guidance, for teachers.
    pub guidance_scale: Option<f64>,
    /// The guidance weights that a student may be run with.
    pub guidance: Option<GuidanceRange>,
    /// Frames of a video, as the pipeline was imported for; those that its network was trained for where left out.
    pub frames: Option<usize>,
    /// Proves every model equal to its source before anything is kept; `None` skips that and says so in `dmdx.json` by
    /// listing no measurement.
    pub verifier: Option<&'a Verifier>,
    /// Replaces an existing bundle.
    pub force: bool,
    /// When weights go to files of their own.
    pub write: WriteOptions,
    /// The licence of the weights, if the caller knows better than the source folder.
    pub licence: Option<String>,
    /// What the bundle's card tells besides what its manifest states.
    pub notes: Notes,
    /// Raised by an interrupt; the export then stops and leaves nothing behind.
    pub cancelled: Option<&'a AtomicBool>,
    /// Called at every step.
    pub progress: &'a mut dyn FnMut(Stage<'_>),
}

impl BundleOptions<'_> {
    /// A student as its file states it.
    pub fn student<'a>(info: &StudentInfo, progress: &'a mut dyn FnMut(Stage<'_>)) -> BundleOptions<'a> {
        BundleOptions {
            sampler: info.sampler,
            consistency: info.consistency,
            parameterisation: Some(info.parameterisation),
            schedule: Some(info.schedule.clone()),
            unconditional: info.unconditional,
            guidance: info.guidance,
            licence: Some(info.licence.clone()),
            notes: Notes { teacher: Some(info.teacher.clone()), ..Notes::default() },
            ..Self::new(Role::Student, info.steps.clone(), progress)
        }
    }

    /// The `compat` target, no guidance, no verification, no overwriting.
    pub fn new(role: Role, steps: Vec<f64>, progress: &mut dyn FnMut(Stage<'_>)) -> BundleOptions<'_> {
        BundleOptions {
            target: &COMPAT,
            role,
            steps,
            sampler: StepRule::Ode,
            consistency: None,
            parameterisation: None,
            schedule: None,
            unconditional: None,
            guidance_scale: None,
            guidance: None,
            frames: None,
            verifier: None,
            force: false,
            write: WriteOptions::default(),
            licence: None,
            notes: Notes::default(),
            cancelled: None,
            progress,
        }
    }
}

/// What the export is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Writing the model of this folder.
    Writing(&'a str),
    /// Running it against its source.
    Verifying(&'a str),
    /// Hashing every file and writing the manifest.
    Hashing,
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct BundleReport {
    /// The bundle.
    pub folder: PathBuf,
    /// Written files and checker counts by folder.
    pub models: BTreeMap<String, GraphReport>,
    /// The manifest, measured errors included.
    pub manifest: Manifest,
}

/// Writes the bundle of `pipeline`, which was imported from `root`, to the folder `out`.
///
/// Everything is written into a temporary folder beside `out` and renamed at the end, so that `out` is a whole bundle or
/// untouched, whatever happens.
///
/// # Errors
/// [`ExportError`]: an unsupported pipeline, a refused operation, an existing destination, a full disk, or a model that does
/// not compute what its source does.
pub fn export_bundle(pipeline: &Pipeline, root: &Path, out: &Path, options: BundleOptions<'_>) -> Result<BundleReport> {
    let destination = Destination::prepare(out, options.force, manifest::FILE_NAME)?;
    // What is unfinished has a name that nobody will ever see.
    let unfinished = destination.path().to_path_buf();
    fill(pipeline, root, destination, out, options).map_err(|error| error.renamed(&unfinished, out))
}

fn fill(
    pipeline: &Pipeline,
    root: &Path,
    destination: Destination,
    out: &Path,
    mut options: BundleOptions<'_>,
) -> Result<BundleReport> {
    let name = display_name(root);
    let source = Source::new(&name, pipeline, options.frames)?;
    let mut manifest = draft(&source, source.facts(root)?, &options)?;
    (options.progress)(Stage::Hashing);
    manifest.provenance.source_sha256 = pipeline.hash()?;
    let mut models = BTreeMap::new();
    for model in source.models()? {
        let (report, measured) = write_model(&model, &manifest, destination.path(), &mut options)?;
        models.insert(model.folder.clone(), report);
        if let Some(measured) = measured {
            manifest.verification.insert(model.folder, measured);
        }
    }
    copy_tokenizers(pipeline, destination.path())?;
    let diffusers = pipeline_files(&source, &manifest, pipeline, destination.path())?;
    stop_if(options.cancelled)?;
    (options.progress)(Stage::Hashing);
    manifest.files = hash::records(destination.path())?;
    let path = destination.path().join(manifest::FILE_NAME);
    parts::put(&path, manifest.to_json()?.as_bytes()).map_err(io(&path, "written"))?;
    // Not in the manifest: people may write more into a card.
    let path = destination.path().join(card::FILE_NAME);
    let text = source.card(destination.path(), &manifest, diffusers.as_ref(), &options.notes)?;
    parts::put(&path, text.as_bytes()).map_err(io(&path, "written"))?;
    stop_if(options.cancelled)?;
    destination.publish()?;
    Ok(BundleReport { folder: out.into(), models, manifest })
}

/// Refuses everything that [`export_bundle`] would refuse of this pipeline with these options, but for what only the written
/// files show. Nothing is written and no weight is read.
///
/// # Errors
/// As [`export_bundle`].
pub fn check_bundle(pipeline: &Pipeline, root: &Path, options: &BundleOptions<'_>) -> Result<()> {
    let name = display_name(root);
    let source = Source::new(&name, pipeline, options.frames)?;
    let manifest = draft(&source, source.facts(root)?, options)?;
    source.models()?.iter().try_for_each(|model| lower(&model.graph, &model.options(&manifest, options)).map(drop))
}

impl SourceModel {
    /// How the model is written.
    fn options(&self, manifest: &Manifest, options: &BundleOptions<'_>) -> GraphOptions {
        let about = about::in_bundle(manifest, self);
        GraphOptions { target: options.target, names: self.names.clone(), about, write: options.write }
    }
}

/// Writes, checks and verifies one model of the bundle.
fn write_model(
    model: &SourceModel,
    manifest: &Manifest,
    bundle: &Path,
    options: &mut BundleOptions<'_>,
) -> Result<(GraphReport, Option<Vec<Verification>>)> {
    let folder = bundle.join(&model.folder);
    std::fs::create_dir(&folder).map_err(io(&folder, "written"))?;
    let config = folder.join("config.json");
    parts::put(&config, model.config_text.as_bytes()).map_err(io(&config, "written"))?;
    let path = folder.join("model.onnx");
    let graph_options = model.options(manifest, options);
    let written = WrittenModel { component: &model.folder, graph: &model.graph, options: &graph_options, path: &path };
    let runs = run_sizes(&model.graph, &model.sizes);
    let report = write_checked(&written, options.cancelled, options.progress)?;
    Ok((report, verify(&written, options.verifier, &runs, options.cancelled, options.progress)?))
}

/// Writes and checks a model.
fn write_checked(
    model: &WrittenModel<'_>,
    cancelled: Option<&AtomicBool>,
    progress: &mut dyn FnMut(Stage<'_>),
) -> Result<GraphReport> {
    stop_if(cancelled)?;
    progress(Stage::Writing(model.component));
    if let Some(folder) = model.path.parent() {
        std::fs::create_dir_all(folder).map_err(io(folder, "written"))?;
    }
    export_graph(model.graph, model.path, model.options)
}

/// Runs a written model once per entry of `runs` if there is a verifier.
fn verify(
    model: &WrittenModel<'_>,
    verifier: Option<&Verifier>,
    runs: &[Bindings],
    cancelled: Option<&AtomicBool>,
    progress: &mut dyn FnMut(Stage<'_>),
) -> Result<Option<Vec<Verification>>> {
    let Some(verifier) = verifier else { return Ok(None) };
    let mut proceed = || {
        progress(Stage::Verifying(model.component));
        stop_if(cancelled)
    };
    verifier.verify(model, runs, &mut proceed).map(Some)
}

/// The manifest before anything is measured or hashed; impossible options are refused here, before any work.
fn draft(source: &Source<'_>, facts: Facts, options: &BundleOptions<'_>) -> Result<Manifest> {
    let manifest = Manifest {
        format_version: manifest::FORMAT_VERSION,
        pipeline: source.pipeline.class.clone(),
        role: options.role,
        steps: options.steps.clone(),
        parameterisation: options.parameterisation.map_or_else(|| source.parameterisation(), Ok)?,
        sampler: options.sampler,
        consistency: options.consistency,
        schedule: options.schedule.clone().map_or_else(|| source.schedule(), Ok)?,
        guidance_scale: options.guidance_scale,
        guidance: options.guidance,
        unconditional: options.unconditional.unwrap_or(facts.unconditional),
        latent_shape: facts.latent_shape,
        vae: facts.vae,
        time_ids: facts.time_ids,
        target: target_record(options.target),
        files: BTreeMap::new(),
        verification: BTreeMap::new(),
        provenance: Provenance {
            tool: TOOL.into(),
            source: source.name.into(),
            source_sha256: String::new(),
            licence: options.licence.clone().unwrap_or(facts.licence),
            assumed: source.pipeline.assumed().map(Into::into),
        },
    };
    manifest.validate()?;
    Ok(manifest)
}

/// What manifests say of a target.
fn target_record(target: &Target) -> manifest::TargetRecord {
    manifest::TargetRecord {
        name: target.name.into(),
        opset: target.opset as u32,
        ir_version: target.ir_version as u32,
        precision: target.precision(),
        runtimes: target.runtimes.iter().map(|runtime| (*runtime).into()).collect(),
    }
}

/// The program that writes manifests.
const TOOL: &str = concat!("dmdx-export ", env!("CARGO_PKG_VERSION"));

/// Tokenizers, byte for byte.
fn copy_tokenizers(pipeline: &Pipeline, bundle: &Path) -> Result<()> {
    for (name, from) in &pipeline.tokenizers {
        for file in tokenizer::file_names().filter(|file| from.join(file).is_file()) {
            copy(&from.join(file), &bundle.join(name).join(file))?;
        }
    }
    Ok(())
}

/// Scheduler and index: a teacher's byte for byte, a student's as its steps need them, with what they come to.
fn pipeline_files(source: &Source<'_>, manifest: &Manifest, pipeline: &Pipeline, bundle: &Path) -> Result<Option<Diffusers>> {
    const FILES: [&str; 2] = ["model_index.json", "scheduler/scheduler_config.json"];
    let put = |file: &str, text: &str| {
        let path = bundle.join(file);
        parts::put(&path, text.as_bytes()).map_err(io(&path, "written"))
    };
    if manifest.role == Role::Teacher {
        return pipeline.texts().try_for_each(|(file, text)| put(file, text)).map(|()| None);
    }
    let layout = source.layout(manifest)?;
    for (file, text) in FILES.into_iter().zip([Some(layout.model_index), layout.scheduler]) {
        text.map_or(Ok(()), |text| put(file, &text))?;
    }
    Ok(Some(layout.diffusers))
}

/// Copies contents only: a bundle's files are its own, whatever rights or links the source has.
fn copy(from: &Path, to: &Path) -> Result<()> {
    parts::copy(from, to).map_err(io(from, "read"))?.map_err(io(to, "written"))
}

fn stop_if(cancelled: Option<&AtomicBool>) -> Result<()> {
    match cancelled {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(ExportError::Cancelled),
        _ => Ok(()),
    }
}

/// The last part of a path, or the hub's name of a model in its cache: manifests never hold a machine's paths.
fn display_name(root: &Path) -> String {
    if let Some(name) = hub::model_name(root) {
        return name;
    }
    let real = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| "unnamed".into())
}

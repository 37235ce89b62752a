//! Finding the student that a run begins with, and holding it to the teacher.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_export::Imported;
use dmdx_graph::Graph;
use dmdx_graph::store::hash::named;
use dmdx_importer::source::{SourceOptions, advised};
use dmdx_importer::{Component, ImportError, ImportOptions, LoraFile, Nonfinite, Pipeline, import, import_pipeline, provenance};
use dmdx_runtime::StudentInfo;
use dmdx_runtime::family::Family;
use dmdx_runtime::process::{NoiseSchedule, Process};

use super::place::{self, Place};
use super::{Init, PARAMETERISATION, Weights, fit, refused, settle};
use crate::error::TrainError;
use crate::recipe::LoadedRecipe;
use crate::store::{GENERATOR, hash};
use crate::trainer::Checkpoint;

/// What is known of the teacher before its weights are read.
#[derive(Clone, Copy)]
pub struct Teaching<'a> {
    /// Its folder or file.
    pub path: &'a Path,
    /// How that is read.
    pub reading: &'a SourceOptions,
    /// What it holds.
    pub pipeline: &'a Pipeline,
    /// What kind of pipeline it is.
    pub family: &'a dyn Family,
    /// Its noise process.
    pub process: &'a Process,
    /// What that is stated by.
    pub schedule: &'a NoiseSchedule,
}

impl Init {
    /// Opens the student that a recipe begins with, where it names one, and fills in what the recipe leaves to it. Nothing but
    /// headers is read of its weights, but for a checkpoint, which is checked against its own hash.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where the student has another network than the teacher, or its output is not known to mean
    /// anything.
    pub fn open(loaded: &mut LoadedRecipe, teaching: &Teaching<'_>) -> Result<Option<Self>, TrainError> {
        let Some(given) = &loaded.recipe.student.init else { return Ok(None) };
        let init = match place::find(&loaded.resolve(given))? {
            Place::Student { folder, info } => {
                settle::by_info(loaded, &info, (teaching.process, teaching.schedule))?;
                teaching.student(&folder)?
            }
            Place::Checkpoint(path) => {
                let Checkpoint { state, student, .. } = Checkpoint::open(&path)?;
                if let Some(text) = student {
                    let info = serde_json::from_str(&text).map_err(|error| {
                        TrainError::damaged(&path, format!("what it says of its student is not read ({error})"))
                    })?;
                    settle::by_info(loaded, &info, (teaching.process, teaching.schedule))?;
                }
                fit::tensors(teaching.graph()?, state.under(GENERATOR))?;
                Self { sha256: hash::file(&path)?, weights: Weights::Checkpoint(Box::new(state)) }
            }
            Place::Pipeline(folder) => teaching.pipeline(loaded, &folder)?,
            Place::Network { path, scale, info } => {
                if let Some(info) = info {
                    settle::by_info(loaded, &info, (teaching.process, teaching.schedule))?;
                }
                teaching.alone(loaded, &path, scale)?
            }
        };
        if loaded.recipe.student.init_parameterisation.is_none() {
            let problem = "is missing, but student.init does not say what its output means: \"teacher\" where it is what the \
                           teacher predicts, \"line_velocity\" after ADP and reflow";
            return Err(TrainError::recipe(PARAMETERISATION, problem));
        }
        Ok(Some(init))
    }
}

impl Teaching<'_> {
    fn graph(&self) -> Result<&Graph, TrainError> {
        Ok(Imported(self.pipeline).graph(self.family.denoiser().place())?)
    }

    /// How a student is read: from where the teacher may be, but for what is said of the teacher's own files.
    fn options(&self) -> ImportOptions {
        let own = SourceOptions { variant: None, config: None, lora: Vec::new(), ..self.reading.clone() };
        ImportOptions { nonfinite: Nonfinite::Skip, ..own.import() }
    }

    /// The denoising network in a student's folder of ours.
    fn student(&self, folder: &Path) -> Result<Init, TrainError> {
        let network = folder.join(self.family.denoiser().folder);
        let component = import(&network, &self.options()).map_err(imported)?;
        self.fitting(component, hash_of(folder, &network, StudentInfo::FILE_NAME)?)
    }

    /// The denoising network in another pipeline's folder, with what its scheduler says of it.
    fn pipeline(&self, loaded: &mut LoadedRecipe, folder: &Path) -> Result<Init, TrainError> {
        const SCHEDULER: &str = "scheduler/scheduler_config.json";
        let mut pipeline = import_pipeline(folder, &self.options()).map_err(imported)?;
        if let Some(scheduler) = &pipeline.scheduler {
            settle::by_scheduler(loaded, scheduler, (self.process, self.schedule))?;
        }
        let name = self.family.denoiser().folder;
        let Some(component) = pipeline.components.shift_remove(name) else {
            return Err(refused(format!("is a {}, which has no {name}", pipeline.class)));
        };
        self.fitting(component, hash_of(folder, &folder.join(name), SCHEDULER)?)
    }

    /// One network in a folder or a file, or a LoRA on the teacher's.
    fn alone(&self, loaded: &mut LoadedRecipe, path: &Path, scale: f64) -> Result<Init, TrainError> {
        let options = self.options();
        let folder = if path.is_file() { path.parent().unwrap_or(Path::new("")) } else { path };
        // A file of weights alone has the teacher's configuration, as far as its tensors agree.
        let config = self.path.join(self.family.denoiser().folder);
        let borrowed = (path.is_file() && !folder.join("config.json").is_file() && config.is_dir()).then_some(config);
        match import(path, &ImportOptions { config: borrowed, ..options.clone() }) {
            Ok(component) => self.fitting(component, hash::model(path)?),
            Err(ImportError::IsLora { .. }) => self.with_lora(path, scale),
            Err(error) if path.is_file() => match self.whole(loaded, path, options)? {
                Some(component) => self.fitting(component, hash::model(path)?),
                None => Err(imported(error)),
            },
            Err(error) => Err(imported(error)),
        }
    }

    /// The denoising network in one file of a whole pipeline, with what the file says of its scheduler; none where it is no
    /// such file.
    fn whole(&self, loaded: &mut LoadedRecipe, path: &Path, options: ImportOptions) -> Result<Option<Component>, TrainError> {
        let config = if self.path.is_dir() { Some(self.path.to_path_buf()) } else { self.reading.config.clone() };
        let options = ImportOptions { config, ..options };
        let Ok(mut pipeline) = import_pipeline(path, &options) else { return Ok(None) };
        let component = pipeline.components.shift_remove(self.family.denoiser().folder);
        if let (Some(_), Some(scheduler)) = (&component, &pipeline.scheduler) {
            settle::by_scheduler(loaded, scheduler, (self.process, self.schedule))?;
        }
        Ok(component)
    }

    /// The teacher with a LoRA file merged into it.
    fn with_lora(&self, path: &Path, scale: f64) -> Result<Init, TrainError> {
        let mut options = ImportOptions { nonfinite: Nonfinite::Skip, ..self.reading.import() };
        let before = self.pipeline.notes.len();
        options.loras.push(LoraFile { path: path.to_path_buf(), scale });
        let mut merged = import_pipeline(self.path, &options).map_err(imported)?;
        for note in merged.notes.iter().skip(before) {
            eprintln!("note: {note}");
        }
        let Some(component) = merged.components.shift_remove(self.family.denoiser().folder) else {
            return Err(refused("changes a network that the teacher has not"));
        };
        self.fitting(component, hash_of_files(path)?)
    }

    fn fitting(&self, mut component: Component, sha256: String) -> Result<Init, TrainError> {
        let (folder, part) = self.family.denoiser().place();
        if let Some(extra) = component.report.unused.first() {
            return Err(refused(format!("has a tensor {extra}, which its network has no place for")));
        }
        if let Some(teacher) = self.pipeline.components.get(folder) {
            fit::class(teacher, &component)?;
        }
        if let (Some(teacher), Some(own)) = (self.pipeline.components.get(folder), component.parts.get(part)) {
            fit::network((teacher, self.graph()?), (&component, own))?;
        }
        match component.parts.shift_remove(part) {
            Some(graph) => Ok(Init { weights: Weights::Network(Box::new(graph)), sha256 }),
            None => Err(refused(format!("is a {}, which has no {part}", component.class))),
        }
    }
}

/// One hash of a pipeline's network and of a file beside it that says what it predicts.
fn hash_of(folder: &Path, network: &Path, beside: &str) -> Result<String, TrainError> {
    let mut hashes = provenance::hashes(network).map_err(imported)?;
    let file = folder.join(beside);
    if file.is_file() {
        hashes.insert(format!("../{beside}"), hash::file(&file)?);
    }
    Ok(named(&hashes))
}

/// The hash of a file, or one of all files of a folder.
fn hash_of_files(path: &Path) -> Result<String, TrainError> {
    if path.is_file() {
        return hash::file(path);
    }
    let mut hashes = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(TrainError::read(path))? {
        let entry = entry.map_err(TrainError::read(path))?;
        if entry.path().is_file() {
            hashes.insert(entry.file_name().to_string_lossy().into_owned(), hash::file(&entry.path())?);
        }
    }
    Ok(named(&hashes))
}

/// A recipe has no options for this path, but the command that writes a folder which needs none has them.
fn imported(error: ImportError) -> TrainError {
    let convert = |option: &str| format!("`dmdx-import convert` --{option}, and name what it writes,");
    refused(format!("cannot be imported: {}", advised(&error.to_string(), convert)))
}

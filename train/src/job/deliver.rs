//! Delivering: the student's folder, and its bundles.

use std::path::{Path, PathBuf};

use dmdx_export::{BundleOptions, Role, StudentInfo, Target, Verifier, export_bundle};
use dmdx_importer::{ImportOptions, Pipeline, import_pipeline};

use super::distillation::Distillation;
use super::student;
use crate::error::TrainError;
use crate::recipe::LoadedRecipe;
use crate::store::StoredState;
use crate::teacher::Teacher;

/// What the export needs must not be missing after hours of training.
pub(super) fn check(loaded: &LoadedRecipe, teacher: &Teacher) -> Result<(), TrainError> {
    let targets = &loaded.recipe.export.targets;
    for target in targets {
        Target::by_name(target).map_err(|error| TrainError::component("reading export.targets", error))?;
    }
    let betas = teacher.pipeline.scheduler.as_ref().and_then(|config| config["beta_schedule"].as_str());
    if !targets.is_empty() && betas != Some("scaled_linear") {
        let reason = "asks for a bundle, but only students of teachers with beta_schedule scaled_linear can be exported yet";
        return Err(TrainError::recipe("export.targets", reason));
    }
    Ok(())
}

/// How the student is sampled, for its folder and its bundles.
fn info(job: &Distillation) -> Result<StudentInfo, TrainError> {
    Ok(student::info(job.student()?.rollout(), &job.path, &job.teacher_hash))
}

/// Writes the student as a pipeline in the reference library's layout.
pub(super) fn save(job: &Distillation, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
    student::save(&job.path, &info(job)?, state, folder)
}

/// The student's folder, read back for every export; its weights stay in their files until they are needed.
pub struct SavedStudent {
    folder: PathBuf,
    pipeline: Pipeline,
    info: StudentInfo,
    verifier: Verifier,
}

impl SavedStudent {
    /// Opens the folder that [`save`] wrote.
    pub(super) fn open(job: &Distillation, folder: &Path) -> Result<Self, TrainError> {
        let pipeline = import_pipeline(folder, &ImportOptions::default())
            .map_err(|error| TrainError::component("reading the student back", error))?;
        let verifier = Verifier::new(None, rayon::current_num_threads()).map_err(exporting)?;
        Ok(Self { folder: folder.to_path_buf(), pipeline, info: info(job)?, verifier })
    }

    /// Writes and verifies the bundle for one target, whole or not at all; one that is there is replaced.
    pub(super) fn export(&self, target: &str, folder: &Path) -> Result<(), TrainError> {
        let mut silent = |_: dmdx_export::Stage<'_>| {};
        let options = BundleOptions {
            target: Target::by_name(target).map_err(exporting)?,
            parameterisation: Some(self.info.parameterisation),
            verifier: Some(&self.verifier),
            force: true,
            ..BundleOptions::new(Role::Student, self.info.steps.clone(), &mut silent)
        };
        export_bundle(&self.pipeline, &self.folder, folder, options).map(drop).map_err(exporting)
    }
}

fn exporting(error: dmdx_export::ExportError) -> TrainError {
    TrainError::component("exporting the student", error)
}

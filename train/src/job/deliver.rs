//! Delivering: the student's folder, and its bundles.

use std::path::{Path, PathBuf};

use dmdx_export::{BundleOptions, Target, Verifier, export_bundle};
use dmdx_importer::{ImportOptions, Pipeline, import_pipeline};
use dmdx_runtime::StudentInfo;

use super::distillation::Distillation;
use super::student;
use crate::error::TrainError;
use crate::recipe::LoadedRecipe;
use crate::store::StoredState;

/// What the export needs must not be missing after hours of training.
pub(super) fn check(loaded: &LoadedRecipe) -> Result<(), TrainError> {
    for target in &loaded.recipe.export.targets {
        Target::by_name(target).map_err(|error| TrainError::component("reading export.targets", error))?;
    }
    Ok(())
}

/// Writes the student as a pipeline in the reference library's layout.
pub(super) fn save(job: &Distillation, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
    let changed = job.path.is_file() || job.loaded.recipe.teacher.is_changed();
    let imported = changed.then_some(&job.teacher.pipeline);
    let (info, layout) = student::describe(job)?;
    student::save(job.teacher.family, (&job.path, imported), (&info, &layout), state, folder)
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
        Ok(Self { folder: folder.to_path_buf(), pipeline, info: student::describe(job)?.0, verifier })
    }

    /// Writes and verifies the bundle for one target.
    pub(super) fn export(&self, target: &str, folder: &Path) -> Result<(), TrainError> {
        let mut silent = |_: dmdx_export::Stage<'_>| {};
        let options = BundleOptions {
            target: Target::by_name(target).map_err(exporting)?,
            verifier: Some(&self.verifier),
            force: true,
            ..BundleOptions::student(&self.info, &mut silent)
        };
        export_bundle(&self.pipeline, &self.folder, folder, options).map(drop).map_err(exporting)
    }
}

fn exporting(error: dmdx_export::ExportError) -> TrainError {
    TrainError::component("exporting the student", error)
}

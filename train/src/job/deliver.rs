//! Delivering: the student's folder, and its bundles.

use std::path::{Path, PathBuf};

use dmdx_export::{BundleOptions, Target, Verifier, check_bundle, export_bundle};
use dmdx_importer::{ImportOptions, Pipeline, import_pipeline};
use dmdx_runtime::StudentInfo;
use dmdx_runtime::card::{self, Notes};
use dmdx_runtime::manifest::{self, Manifest};

use super::distillation::Distillation;
use super::student;
use super::weights::StudentWeights;
use crate::error::TrainError;
use crate::module::LowRank;
use crate::recipe::LoraRole;
use crate::report::{Score, Scores};
use crate::store::StoredState;
use crate::store::atomic::write_atomically;
use crate::student::LORA_WEIGHTS;

/// The folder of the student's factors, beside the student's own.
pub(super) const LORA: &str = "lora";

/// What the export would refuse must not be refused after hours of training: the student's networks are the teacher's.
pub(super) fn check(job: &Distillation) -> Result<(), TrainError> {
    let (info, _) = student::describe(job, job.last_phase())?;
    for name in &job.loaded.recipe.export.targets {
        let target = Target::by_name(name).map_err(|error| TrainError::component("reading export.targets", error))?;
        let mut silent = |_: dmdx_export::Stage<'_>| {};
        let options = BundleOptions { target, ..BundleOptions::student(&info, &mut silent) };
        check_bundle(&job.teacher.pipeline, &job.path, &options).map_err(|error| {
            TrainError::component(format!("asking whether {name} bundles can be made of this teacher"), error)
        })?;
    }
    Ok(())
}

/// Writes the student as a pipeline in the reference library's layout.
pub(super) fn save(job: &Distillation, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
    let changed = job.path.is_file() || job.loaded.recipe.teacher.is_changed();
    let imported = changed.then_some(&job.teacher.pipeline);
    let (info, layout) = student::describe(job, job.last_phase())?;
    let weights = StudentWeights::new(job, state)?;
    student::save(job.teacher.family, (&job.path, imported), (&info, &layout), &weights, folder)
}

/// Writes the student's factors as the reference library's file, where it was trained by factors.
pub(super) fn save_factors(job: &Distillation, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
    let (info, layout) = student::describe(job, job.last_phase())?;
    let weights = StudentWeights::new(job, state)?;
    let lora = weights.lora(job.teacher.family.denoiser().folder);
    lora.map_or(Ok(()), |lora| student::save_factors(&lora, (&info, &layout), folder))
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
        Ok(Self { folder: folder.to_path_buf(), pipeline, info: student::describe(job, job.last_phase())?.0, verifier })
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

/// Writes the model cards of the student and its bundles, with what was measured of it.
pub(super) fn cards(job: &Distillation, student: &Path, bundles: &[PathBuf], scores: &Scores) -> Result<(), TrainError> {
    let (info, layout) = student::describe(job, job.last_phase())?;
    let numbers = |score: &Score| score.iter().map(|(name, value)| (name.clone(), *value)).collect();
    let notes = Notes {
        teacher: Some(info.teacher.clone()),
        prompt: Some(job.prompts.get(0)?),
        scores: scores.iter().map(|(who, score)| (who.clone(), numbers(score))).collect(),
    };
    let family = job.teacher.family;
    let refused = |error| TrainError::from(dmdx_runtime::Error::from(error));
    let write =
        |folder: &Path, text: String| write_atomically(&folder.join(card::FILE_NAME), |writer| writer.write_all(text.as_bytes()));
    write(student, card::student(family, &info, &notes).map_err(refused)?)?;
    if let Some((LowRank { rank, alpha, .. }, layers)) = job.materials().factors(LoraRole::Generator)? {
        let modules = layers.into_iter().map(|layer| layer.module).collect();
        let changed = job.loaded.recipe.teacher.is_changed();
        let began = job.loaded.recipe.student.init.as_ref().map(|path| student::name(&job.loaded.resolve(path)));
        let facts = card::Factors { file: LORA_WEIGHTS, rank, alpha, modules, changed, began };
        write(&student.with_file_name(LORA), card::factors(family, &info, &notes, &facts).map_err(refused)?)?;
    }
    for bundle in bundles {
        let path = bundle.join(manifest::FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(TrainError::read(&path))?;
        let manifest = Manifest::parse(&text).map_err(|error| TrainError::damaged(&path, error.to_string()))?;
        let ids = card::token_ids(family, bundle, &job.teacher.pipeline.model_index, &notes)?;
        write(bundle, card::bundle(family, &manifest, Some(&layout.diffusers), &ids, &notes).map_err(refused)?)?;
    }
    Ok(())
}

fn exporting(error: dmdx_export::ExportError) -> TrainError {
    TrainError::component("exporting the student", error)
}

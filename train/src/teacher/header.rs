//! What a teacher's files say before its weights are read.

use std::path::Path;

use dmdx_importer::source::SourceOptions;
use dmdx_importer::{ImportOptions, Nonfinite, Pipeline, import_pipeline};
use dmdx_runtime::family::{self, Family};
use dmdx_runtime::process::{NoiseSchedule, Process};
use dmdx_runtime::scheduler;

use crate::error::{TeacherError, TrainError};
use crate::recipe::LoadedRecipe;
use crate::student::{Init, Teaching};

/// A teacher of which nothing but headers and configurations was read.
#[derive(Debug)]
pub struct Header {
    /// The checkpoint; its weights are in their files.
    pub pipeline: Pipeline,
    /// What kind of pipeline it is.
    pub family: &'static dyn Family,
    /// Its noise process.
    pub process: Process,
    /// What that is stated by.
    pub schedule: NoiseSchedule,
}

impl Header {
    /// Reads a pipeline's headers.
    ///
    /// # Errors
    /// When the pipeline cannot be imported, or is of an unsupported kind.
    pub fn read(path: &Path, reading: &SourceOptions) -> Result<Self, TrainError> {
        let pipeline = import_pipeline(path, &ImportOptions { nonfinite: Nonfinite::Skip, ..reading.import() })
            .map_err(|error| TrainError::TeacherImport(error.into()))?;
        let family = family::of_class(&pipeline.class)?;
        let config = pipeline.scheduler.as_ref().ok_or(TeacherError::NoScheduler)?;
        let (process, schedule) = (scheduler::process(config)?, scheduler::noise_schedule(config)?);
        Ok(Self { pipeline, family, process, schedule })
    }

    /// The student that a recipe begins with instead, where it names one; `loaded` is filled in from it.
    ///
    /// # Errors
    /// As [`Init::open`].
    pub fn init(&self, path: &Path, reading: &SourceOptions, loaded: &mut LoadedRecipe) -> Result<Option<Init>, TrainError> {
        let Self { pipeline, family, process, schedule } = self;
        Init::open(loaded, &Teaching { path, reading, pipeline, family: *family, process, schedule })
    }
}

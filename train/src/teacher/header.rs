//! What a teacher's files say before its weights are read.

use std::path::Path;

use dmdx_export::Imported;
use dmdx_graph::Graph;
use dmdx_graph::ir::Bindings;
use dmdx_importer::source::SourceOptions;
use dmdx_importer::{ImportOptions, Nonfinite, Pipeline, import_pipeline};
use dmdx_runtime::StudentInfo;
use dmdx_runtime::family::{self, Family, Size};
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
        no_student(path)?;
        let pipeline = import_pipeline(path, &ImportOptions { nonfinite: Nonfinite::Skip, ..reading.import() })
            .map_err(|error| TrainError::TeacherImport(error.into()))?;
        let family = family::of_class(&pipeline.class)?;
        let config = pipeline.scheduler.as_ref().ok_or(TeacherError::NoScheduler)?;
        let (process, schedule) = (scheduler::process(config)?, scheduler::noise_schedule(config)?);
        Ok(Self { pipeline, family, process, schedule })
    }

    /// The frames of a video; `None` where the results are pictures.
    ///
    /// # Errors
    /// Where the sizes of a result do not follow from the configurations.
    pub fn frames(&self) -> Result<Option<usize>, TrainError> {
        let imported = Imported(&self.pipeline);
        let geometry = self.family.geometry(&imported, &Size::default())?;
        frames(self.family, &imported, &geometry.latent_shape)
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

/// The frames of what a pipeline makes of latents, where these are videos.
pub(super) fn frames(family: &dyn Family, imported: &Imported<'_>, latent_shape: &[usize]) -> Result<Option<usize>, TrainError> {
    if !family.makes_videos() {
        return Ok(None);
    }
    let left_out = family.frames_left_out(imported, latent_shape)?;
    decoded_frames(imported.graph(family.decoder())?, latent_shape, left_out).map(Some)
}

/// The frames of the video that a decoder makes of latents `[frames, channels, height, width]`.
fn decoded_frames(decoder: &Graph, latent_shape: &[usize], left_out: usize) -> Result<usize, TrainError> {
    const WHAT: &str = "finding how many frames a video has";
    let &[frames, channels, rows, columns] = latent_shape else {
        return Err(TeacherError::NoVideo(latent_shape.to_vec()).into());
    };
    let mut sizes = Bindings::new();
    for (name, id) in decoder.inputs() {
        let shape = [1, channels, frames.saturating_sub(left_out), rows, columns];
        decoder.value(*id).ty.shape.bind(name, &shape, &mut sizes).map_err(|error| TrainError::component(WHAT, error))?;
    }
    let output = decoder.outputs().first().map(|output| decoder.value(output.value).ty.shape.eval(&sizes));
    let made = output.transpose().map_err(|error| TrainError::component(WHAT, error))?.unwrap_or_default();
    made.get(2).copied().ok_or_else(|| TeacherError::NoVideo(made).into())
}

/// Refuses a student in the place of a teacher.
///
/// # Errors
/// [`TeacherError::IsStudent`].
pub(super) fn no_student(path: &Path) -> Result<(), TrainError> {
    match path.is_dir().then(|| StudentInfo::read(path)).transpose()?.flatten() {
        Some(student) => Err(TeacherError::IsStudent(path.display().to_string(), student.teacher).into()),
        None => Ok(()),
    }
}

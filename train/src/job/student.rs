//! The student as a pipeline folder in the reference library's layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use dmdx_export::StudentInfo;
use dmdx_graph::store::{self, Existing};
use dmdx_runtime::bundle::manifest::Parameterisation;
use dmdx_runtime::process::{self, Rollout};

use crate::error::TrainError;
use crate::method::GENERATOR;
use crate::store::atomic::{stream_atomically, write_atomically};
use crate::store::tensor_file::{Entry, TensorWriter, Values};
use crate::store::{StoredState, hash};

/// The folder of the denoising network in a pipeline, and what the reference library calls its weights.
fn denoiser_weights() -> (&'static str, &'static str) {
    ("unet", "diffusion_pytorch_model.safetensors")
}

/// Copies the teacher's folder byte for byte but for the denoising network's weights, which become the student's in 32
/// bits under the reference library's names, and adds `dmdx_student.json`. Nothing is held in memory as a whole.
///
/// # Errors
/// [`TrainError::Read`], [`TrainError::Write`]; [`TrainError::NoStudent`] where the state holds no generator.
pub(super) fn save(teacher: &Path, info: &StudentInfo, state: &StoredState, folder: &Path) -> Result<(), TrainError> {
    let (network, weights) = denoiser_weights();
    let is_weights = |file: &str| file.strip_prefix(network).is_some_and(|rest| rest.starts_with('/') && rest != "/config.json");
    for file in hash::model_files(teacher)?.iter().filter(|file| !is_weights(file)) {
        copy(&teacher.join(file), &folder.join(file))?;
    }
    let path = folder.join(network).join(weights);
    make_parent(&path)?;
    write_weights(state, &path)?;
    let place = folder.join(StudentInfo::FILE_NAME);
    write_atomically(&place, |writer| writer.write_all(info.to_json().as_bytes()))
}

/// The generator of a state, as the reference library stores networks.
fn write_weights(state: &StoredState, path: &Path) -> Result<(), TrainError> {
    let entries: Vec<Entry> = state.under(GENERATOR).map(|(name, shape)| Entry::f32(name.to_string(), shape.to_vec())).collect();
    if entries.is_empty() {
        return Err(TrainError::NoStudent { reason: format!("the last phase trained no {GENERATOR}") });
    }
    // The reference library refuses files that do not say where they are from.
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    stream_atomically(path, |sink| {
        let mut writer = TensorWriter::begin_plain(sink, metadata, entries).map_err(TrainError::write(path))?;
        while let Some(name) = writer.next().map(|entry| format!("{GENERATOR}.{}", entry.name)) {
            writer.tensor(Values::F32(&state.tensor(&name)?)).map_err(TrainError::write(path))?;
        }
        writer.finish().map_err(TrainError::write(path))
    })
}

/// Copies contents only: rights and links of the teacher's files are not the student's.
fn copy(from: &Path, to: &Path) -> Result<(), TrainError> {
    make_parent(to)?;
    let source = File::open(from).map_err(TrainError::read(from))?;
    store::write_file(to, Existing::Keep, source).map_err(TrainError::write(to))
}

fn make_parent(file: &Path) -> Result<(), TrainError> {
    file.parent().map_or(Ok(()), |parent| std::fs::create_dir_all(parent).map_err(TrainError::write(parent)))
}

/// How the student is sampled, for its checkpoint and its bundle.
pub(super) fn info(rollout: &Rollout, teacher: &Path, hash: &str) -> StudentInfo {
    let parameterisation = match rollout.process().parameterisation() {
        process::Parameterisation::Epsilon => Parameterisation::Epsilon,
        process::Parameterisation::VPrediction => Parameterisation::VPrediction,
        process::Parameterisation::Flow => Parameterisation::Flow,
        process::Parameterisation::LineVelocity | process::Parameterisation::Sample => Parameterisation::LineVelocity,
    };
    let name = teacher.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    StudentInfo {
        steps: rollout.network_times(),
        parameterisation,
        teacher: name.unwrap_or_else(|| "teacher".into()),
        teacher_sha256: hash.to_string(),
        licence: String::new(),
    }
}

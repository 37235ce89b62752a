//! The student as a pipeline folder in the reference library's layout.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::store::{hub, parts};
use dmdx_importer::{ImportOptions, Pipeline, write_pipeline};
use dmdx_runtime::bundle::StudentInfo;
use dmdx_runtime::family::Family;
use dmdx_runtime::manifest::GuidanceRange;
use dmdx_runtime::process::Rollout;

use crate::error::TrainError;
use crate::method::GENERATOR;
use crate::store::atomic::{stream_atomically, write_atomically};
use crate::store::tensor_file::{Entry, TensorWriter, Values};
use crate::store::{StoredState, hash};

/// What the reference library calls a denoising network's weights.
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// Copies the teacher's folder byte for byte but for the denoising network's weights, which become the student's in 32
/// bits under the reference library's names, and adds `dmdx_student.json`. Nothing is held in memory as a whole. The
/// networks of a teacher that is none of a folder's plain files are written as they were imported.
///
/// # Errors
/// [`TrainError::Read`], [`TrainError::Write`]; [`TrainError::NoStudent`] where the state holds no generator.
pub(super) fn save(
    family: &dyn Family,
    teacher: &Path,
    imported: Option<&Pipeline>,
    info: &StudentInfo,
    state: &StoredState,
    folder: &Path,
) -> Result<(), TrainError> {
    let network = family.denoiser().folder;
    let is_weights = |file: &str| file.strip_prefix(network).is_some_and(|rest| rest.starts_with('/') && rest != "/config.json");
    match imported {
        Some(pipeline) => {
            write_pipeline(pipeline, folder, network, &ImportOptions::default(), None)
                .map_err(|error| TrainError::component("writing the student", error))?;
        }
        None => {
            for file in hash::model_files(teacher)?.iter().filter(|file| !is_weights(file)) {
                let (from, to) = (teacher.join(file), folder.join(file));
                parts::copy(&from, &to).map_err(TrainError::read(&from))?.map_err(TrainError::write(&to))?;
            }
        }
    }
    let path = folder.join(network).join(WEIGHTS);
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

fn make_parent(file: &Path) -> Result<(), TrainError> {
    file.parent().map_or(Ok(()), |parent| std::fs::create_dir_all(parent).map_err(TrainError::write(parent)))
}

/// How the student is sampled, for its checkpoint and its bundle.
pub(super) fn info(rollout: &Rollout, guidance: Option<GuidanceRange>, teacher: &Path, hash: &str) -> StudentInfo {
    let last = || teacher.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let name = hub::model_name(teacher).or_else(last);
    StudentInfo {
        steps: rollout.network_times(),
        parameterisation: rollout.process().parameterisation(),
        sampler: rollout.rule(),
        guidance,
        teacher: name.unwrap_or_else(|| "teacher".into()),
        teacher_sha256: hash.to_string(),
        licence: String::new(),
    }
}

//! The student as a pipeline folder in the reference library's layout.

use std::path::Path;

use dmdx_export::StudentInfo;
use dmdx_runtime::bundle::manifest::Parameterisation;
use dmdx_runtime::process::{self, Rollout};

use crate::error::TrainError;
use crate::store::atomic::write_atomically;
use crate::store::hash;
use crate::store::{State, StateTensor};

/// What the reference library calls a component's weights.
const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";

/// Copies the teacher's folder byte for byte but for the UNet's weights, which become the student's in 32 bits under
/// the reference library's names, and adds `dmdx_student.json`.
///
/// # Errors
/// [`TrainError::Read`], [`TrainError::Write`]; [`TrainError::State`] where the state holds no generator.
pub(super) fn save(teacher: &Path, info: &StudentInfo, state: &State, folder: &Path) -> Result<(), TrainError> {
    for file in hash::model(teacher)?.keys().filter(|file| !is_unet_weights(file)) {
        let (from, to) = (teacher.join(file), folder.join(file));
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(TrainError::write(parent))?;
        }
        let bytes = std::fs::read(&from).map_err(TrainError::read(&from))?;
        std::fs::write(&to, bytes).map_err(TrainError::write(&to))?;
    }
    let weights: Vec<(&str, &StateTensor)> = state.role("generator").collect();
    if weights.is_empty() {
        return Err(TrainError::State { phase: "student".into(), reason: "it holds no generator".into() });
    }
    let path = folder.join(WEIGHTS);
    let views = weights.iter().map(|(name, tensor)| {
        let bytes: &[u8] = bytemuck::cast_slice(&tensor.values);
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, tensor.shape.clone(), bytes);
        Ok((*name, view.map_err(|error| TrainError::component("writing the student", error))?))
    });
    let views = views.collect::<Result<Vec<_>, TrainError>>()?;
    // The reference library refuses files that do not say where they are from.
    let metadata = std::collections::HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes =
        safetensors::serialize(views, Some(metadata)).map_err(|error| TrainError::component("writing the student", error))?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(TrainError::write(parent))?;
    }
    write_atomically(&path, |writer| writer.write_all(&bytes))?;
    let place = folder.join(StudentInfo::FILE_NAME);
    write_atomically(&place, |writer| writer.write_all(info.to_json().as_bytes()))
}

fn is_unet_weights(file: &str) -> bool {
    file.starts_with("unet/") && file != "unet/config.json"
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

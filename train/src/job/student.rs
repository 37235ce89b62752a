//! The student as a pipeline folder in the reference library's layout.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_export::Imported;
use dmdx_graph::store::{hub, parts};
use dmdx_importer::{ImportOptions, Pipeline, write_pipeline};
use dmdx_runtime::family::{Family, Settings};
use dmdx_runtime::scheduler;
use dmdx_runtime::student::{Layout, StudentInfo};

use super::distillation::Distillation;
use super::weights::{LoraFile, StudentWeights};
use crate::error::{TeacherError, TrainError};
use crate::store::atomic::{stream_atomically, write_atomically};
use crate::store::hash;
use crate::store::tensor_file::{Entry, TensorWriter, Values};
use crate::student::LORA_WEIGHTS;

/// What the reference library calls a denoising network's weights.
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// What names the parts of a pipeline.
const INDEX: &str = "model_index.json";

/// What states a pipeline's scheduler.
const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// Copies the teacher's folder byte for byte but for three things: the denoising network's weights, which become the
/// student's in 32 bits under the reference library's names; the scheduler, which becomes one that makes the student's
/// steps, with `model_index.json` to match; and `dmdx_student.json`, which is new. Nothing is held in memory as a whole. The
/// networks of a teacher that is none of a folder's plain files are written as they were imported.
///
/// # Errors
/// [`TrainError::Read`], [`TrainError::Write`].
pub(super) fn save(
    family: &dyn Family,
    (teacher, imported): (&Path, Option<&Pipeline>),
    (info, layout): (&StudentInfo, &Layout),
    weights: &StudentWeights<'_>,
    folder: &Path,
) -> Result<(), TrainError> {
    let network = family.denoiser().folder;
    let in_network = |file: &str| file.strip_prefix(network).is_some_and(|rest| rest.starts_with('/') && rest != "/config.json");
    let is_own = |file: &str| in_network(file) || file.starts_with("scheduler/") || file == INDEX;
    match imported {
        Some(pipeline) => {
            write_pipeline(pipeline, folder, network, &ImportOptions::default(), None)
                .map_err(|error| TrainError::component("writing the student", error))?;
            // The teacher's; the student's follows, where there is one.
            let scheduler = folder.join(SCHEDULER);
            if scheduler.exists() {
                std::fs::remove_file(&scheduler).map_err(TrainError::write(&scheduler))?;
            }
        }
        None => {
            for file in hash::model_files(teacher)?.iter().filter(|file| !is_own(file)) {
                let (from, to) = (teacher.join(file), folder.join(file));
                parts::copy(&from, &to).map_err(TrainError::read(&from))?.map_err(TrainError::write(&to))?;
            }
        }
    }
    let path = folder.join(network).join(WEIGHTS);
    make_parent(&path)?;
    // The reference library refuses files that do not say where they are from.
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_tensors(&path, metadata, weights.network()?, |name| weights.weight(name))?;
    let texts = [
        (INDEX, Some(&layout.model_index)),
        (SCHEDULER, layout.scheduler.as_ref()),
        (StudentInfo::FILE_NAME, Some(&info.to_json())),
    ];
    write_texts(folder, texts)
}

/// Writes the factors of a student as a file that the reference library loads onto the teacher, with the scheduler that makes
/// the student's steps and `dmdx_student.json`.
///
/// # Errors
/// As [`save`].
pub(super) fn save_factors(
    lora: &LoraFile<'_>,
    (info, layout): (&StudentInfo, &Layout),
    folder: &Path,
) -> Result<(), TrainError> {
    write_tensors(&folder.join(LORA_WEIGHTS), lora.metadata()?, lora.entries(), |name| lora.tensor(name))?;
    write_texts(folder, [(SCHEDULER, layout.scheduler.as_ref()), (StudentInfo::FILE_NAME, Some(&info.to_json()))])
}

fn write_texts<const N: usize>(folder: &Path, texts: [(&str, Option<&String>); N]) -> Result<(), TrainError> {
    texts.into_iter().filter_map(|(file, text)| Some((folder.join(file), text?))).try_for_each(|(path, text)| {
        make_parent(&path)?;
        write_atomically(&path, |writer| writer.write_all(text.as_bytes()))
    })
}

/// Tensors in 32 bits, one at a time.
fn write_tensors(
    path: &Path,
    metadata: BTreeMap<String, String>,
    entries: Vec<Entry>,
    values: impl Fn(&str) -> Result<Vec<f32>, TrainError>,
) -> Result<(), TrainError> {
    stream_atomically(path, |sink| {
        let mut writer = TensorWriter::begin_plain(sink, metadata, entries).map_err(TrainError::write(path))?;
        while let Some(name) = writer.next().map(|entry| entry.name.clone()) {
            writer.tensor(Values::F32(&values(&name)?)).map_err(TrainError::write(path))?;
        }
        writer.finish().map_err(TrainError::write(path))
    })
}

fn make_parent(file: &Path) -> Result<(), TrainError> {
    file.parent().map_or(Ok(()), |parent| std::fs::create_dir_all(parent).map_err(TrainError::write(parent)))
}

/// How the student of a job at the end of a phase is sampled and where it comes from, for its checkpoint and its bundles, and how diffusers finds
/// its scheduler.
///
/// # Errors
/// When the recipe's student is none of the teacher's, or the teacher's scheduler states no noise process.
pub(super) fn describe(job: &Distillation, phase: &str) -> Result<(StudentInfo, Layout), TrainError> {
    let student = job.materials().student(phase)?;
    let (rollout, teacher) = (student.rollout(), &job.teacher);
    let guidance = job.student_guidance();
    let unconditional = guidance.map(|_| teacher.unconditional);
    let schedule = scheduler::noise_schedule(teacher.pipeline.scheduler.as_ref().ok_or(TeacherError::NoScheduler)?)?;
    let imported = Imported(&teacher.pipeline);
    let files = [imported.index(), imported.config(teacher.family.denoiser().folder)];
    let layout = Layout::new(teacher.family, files, rollout, &schedule, guidance.zip(unconditional));
    let info = StudentInfo {
        steps: rollout.network_times(),
        parameterisation: rollout.process().parameterisation(),
        sampler: rollout.rule(),
        consistency: rollout.consistency(),
        schedule,
        guidance,
        unconditional,
        diffusers: Some(layout.diffusers.clone()),
        teacher: name(&job.path),
        teacher_sha256: job.teacher_hash.clone(),
        licence: dmdx_export::licence(&job.path),
    };
    Ok((info, layout))
}

/// What a model is called: `owner/name` in the hub's cache, otherwise the last part of its path.
pub(super) fn name(model: &Path) -> String {
    let real = model.canonicalize().unwrap_or_else(|_| model.to_path_buf());
    let last = || real.file_name().map(|name| name.to_string_lossy().into_owned());
    hub::model_name(model).or_else(last).unwrap_or_else(|| "teacher".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::name;

    #[test]
    fn a_teacher_in_the_hubs_cache_has_the_hubs_name() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = folder.path().join("models--stabilityai--sdxl--turbo/snapshots/71153311d3dbb46851df1931d3ca6e939de83304");
        std::fs::create_dir_all(&snapshot).unwrap();
        assert_eq!(name(&snapshot), "stabilityai/sdxl--turbo");
        let plain = folder.path().join("digits");
        std::fs::create_dir_all(&plain).unwrap();
        assert_eq!(name(&plain.join("../digits")), "digits");
        assert_eq!(name(&folder.path().join("models--a--b")), "models--a--b", "no snapshot");
    }
}

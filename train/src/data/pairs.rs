//! Collecting ODE pairs: shards that say what they are, made once, made again where they are missing.

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;
use serde::{Deserialize, Serialize};

use super::pair_plan::{PairPlan, ShardInputs};
use super::pair_store::PairStore;
use crate::error::TrainError;
use crate::recipe::PairDtype;
use crate::session::Interrupt;
use crate::session::progress::Progress;
use crate::store::atomic::{remove_unfinished, write_atomically};
use crate::store::hash;
use crate::store::tensor_file::{self, TensorFile, Values};

/// The file that is there once all shards are.
pub(super) const COMPLETE: &str = "COMPLETE.json";
pub(super) const SHARD_KEY: &str = "shard";

/// The contents of `COMPLETE.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Complete {
    /// The plan's provenance.
    pub provenance: BTreeMap<String, String>,
    /// SHA-256 of every shard's file, in order.
    pub shards: Vec<String>,
}

impl Complete {
    /// Reads it from `folder`; none where the collection is not complete.
    pub fn read(folder: &Path) -> Result<Option<Self>, TrainError> {
        let path = folder.join(COMPLETE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TrainError::Read { path, source }),
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|error| {
            TrainError::damaged(path, format!("it does not list the shards of pairs ({error}); delete it to check them anew"))
        })
    }
}

/// Makes the pairs of `plan` in `folder`, as far as they are not there, and opens them.
///
/// `teacher` runs the teacher's sampler on one shard's inputs and returns x_0, `[count, ..latent_shape]`, scaled as the
/// teacher's network sees it. A shard that is missing or damaged is made anew, with the same bytes.
///
/// # Errors
/// [`TrainError::PairsMismatch`] where `folder` holds other pairs; [`TrainError::Interrupted`] between shards;
/// [`TrainError::Invalid`] where the teacher's latents are not as many as asked for or not finite;
/// [`TrainError::Write`]; those of `teacher`.
pub fn collect(
    folder: &Path,
    plan: &PairPlan,
    interrupt: &Interrupt,
    mut teacher: impl FnMut(&ShardInputs) -> Result<Vec<f32>, TrainError>,
) -> Result<PairStore, TrainError> {
    std::fs::create_dir_all(folder).map_err(TrainError::write(folder))?;
    remove_unfinished(folder)?;
    let complete = Complete::read(folder)?;
    if let Some(complete) = &complete {
        plan.check(&folder.join(COMPLETE), &complete.provenance)?;
    }
    let mut progress = Progress::start("pairs", plan.count, 0);
    let mut shards = Vec::new();
    for index in 0..plan.shards() {
        let path = plan.path(folder, index);
        let mut hash = existing(&path, plan, index)?;
        if hash.is_none() {
            interrupt.check(|| format!("the collection of pairs, {index} of {} shards done", plan.shards()))?;
            let inputs = plan.inputs(index);
            let latents = teacher(&inputs)?;
            write(&path, plan, &inputs, latents)?;
            hash = Some(hash::file(&path)?);
        }
        let hash = hash.unwrap_or_default();
        if let Some(wanted) = complete.as_ref().and_then(|complete| complete.shards.get(index as usize))
            && *wanted != hash
        {
            return Err(TrainError::damaged(
                path,
                format!("its SHA-256 is {hash}, but {COMPLETE} says {wanted}; delete the folder and collect the pairs anew"),
            ));
        }
        shards.push(hash);
        progress.advance(plan.shard_len(index), String::new);
    }
    drop(progress);
    if complete.is_none() {
        let complete = Complete { provenance: plan.provenance(), shards };
        write_atomically(&folder.join(COMPLETE), |writer| Ok(serde_json::to_writer_pretty(writer, &complete)?))?;
    }
    PairStore::open(folder, plan)
}

/// The hash of a shard's file that is there and whole.
fn existing(path: &Path, plan: &PairPlan, index: u64) -> Result<Option<String>, TrainError> {
    if !path.exists() {
        return Ok(None);
    }
    match TensorFile::open_hashed(path) {
        Ok((file, hash)) => {
            check_shard(path, plan, index, &file.metadata)?;
            Ok(Some(hash))
        }
        Err(error @ TrainError::Damaged { .. }) => {
            eprintln!("warning: {error}; it is made anew");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Compares a shard's metadata with the plan's provenance and the shard's own number.
pub(super) fn check_shard(
    path: &Path,
    plan: &PairPlan,
    index: u64,
    metadata: &BTreeMap<String, String>,
) -> Result<(), TrainError> {
    plan.check(path, metadata)?;
    match metadata.get(SHARD_KEY) {
        Some(stored) if *stored == index.to_string() => Ok(()),
        stored => Err(TrainError::PairsMismatch {
            path: path.to_path_buf(),
            field: SHARD_KEY.to_string(),
            stored: stored.map_or_else(|| "nothing".to_string(), Clone::clone),
            wanted: index.to_string(),
        }),
    }
}

fn write(path: &Path, plan: &PairPlan, inputs: &ShardInputs, latents: Vec<f32>) -> Result<(), TrainError> {
    let wanted = inputs.count * plan.latent_len();
    if latents.len() != wanted {
        return Err(TrainError::Invalid(format!(
            "the teacher's sampler returned {} values for {} pairs, but {wanted} are needed",
            latents.len(),
            inputs.count
        )));
    }
    let half = |values: &[f32]| values.iter().map(|&value| f16::from_f32(value)).collect::<Vec<_>>();
    let halves = (plan.dtype == PairDtype::F16).then(|| (half(&inputs.noise), half(&latents)));
    let finite = match &halves {
        Some((_, latents)) => latents.iter().all(|value| value.is_finite()),
        None => latents.iter().all(|value| value.is_finite()),
    };
    if !finite {
        return Err(TrainError::Invalid(format!(
            "the teacher made latents in shard {} that are not finite in the recipe's pairs.dtype",
            inputs.index
        )));
    }
    let (noise, latents) = match &halves {
        Some((noise, latents)) => (Values::F16(noise), Values::F16(latents)),
        None => (Values::F32(&inputs.noise), Values::F32(&latents)),
    };
    let count = [inputs.count];
    let shape: Vec<usize> = count.iter().chain(&plan.latent_shape).copied().collect();
    let tensors = BTreeMap::from([
        ("guidance", (&count[..], Values::F32(&inputs.guidance))),
        ("prompt", (&count[..], Values::U32(&inputs.prompts))),
        ("x_0", (&shape[..], latents)),
        ("x_T", (&shape[..], noise)),
    ]);
    let mut metadata = plan.provenance();
    metadata.insert(SHARD_KEY.to_string(), inputs.index.to_string());
    write_atomically(path, |writer| tensor_file::write(writer, &metadata, &tensors))
}

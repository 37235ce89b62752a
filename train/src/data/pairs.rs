//! Collecting ODE pairs.

use std::path::Path;

use super::pair_plan::{PairPlan, ShardInputs};
use super::pair_store::PairStore;
use super::rows::{self, Cells};
use crate::error::TrainError;
use crate::session::Interrupt;

/// Makes the pairs of `plan` in `folder`, as far as they are not there, and opens them.
///
/// `teacher` runs the teacher's sampler on one shard's inputs and returns x_0, `[count, ..latent_shape]`, scaled as the
/// teacher's network sees it. A shard that is missing or damaged is made anew, with the same bytes.
///
/// # Errors
/// [`TrainError::StoreMismatch`] where `folder` holds other pairs; [`TrainError::Interrupted`] between shards;
/// [`TrainError::Count`] and [`TrainError::NotFinite`] about the teacher's latents; [`TrainError::Write`]; those of
/// `teacher`.
pub fn collect(
    folder: &Path,
    plan: &PairPlan,
    interrupt: &Interrupt,
    mut teacher: impl FnMut(&ShardInputs) -> Result<Vec<f32>, TrainError>,
) -> Result<PairStore, TrainError> {
    let rows = rows::collect(folder, &plan.rows(), interrupt, |range| {
        let inputs = plan.inputs(range.index);
        let latents = teacher(&inputs)?;
        let wanted = inputs.count * plan.latent_len();
        if latents.len() != wanted {
            return Err(TrainError::Count {
                who: "the teacher's sampler",
                found: latents.len(),
                of: format!("{} pairs", inputs.count),
                wanted,
            });
        }
        let latents = Cells::finite(latents, plan.dtype)
            .ok_or_else(|| TrainError::NotFinite { what: format!("latents in shard {}", range.index), key: "pairs.dtype" })?;
        let noise = Cells::rounded(inputs.noise, plan.dtype);
        Ok(vec![Cells::F32(inputs.guidance), Cells::U32(inputs.prompts), latents, noise])
    })?;
    Ok(PairStore::new(rows, plan))
}

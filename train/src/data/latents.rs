//! Encoding real pictures, as far as their latents are not on the disk.

use std::path::Path;

use super::captions::{Captioned, Captions};
use super::latent_plan::{LatentPlan, captions_path};
use super::latent_store::LatentStore;
use super::rows::{self, Cells};
use crate::error::TrainError;
use crate::recipe::Posterior;
use crate::session::{Draws, Interrupt};
use crate::store::atomic::stream_atomically;

/// Some pictures to be encoded together.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureChunk {
    /// Number of the first.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Standard normal, `[count, ..latent_shape]`, where the encoder's distribution is drawn from.
    pub noise: Option<Vec<f32>>,
}

/// Makes the latents of `plan` in `folder`, as far as they are not there, and opens them; their captions are numbered from
/// `first_caption` on.
///
/// `encode` encodes the pictures that it is asked for, always the same `chunk` of them together: `[count, ..latent_shape]`,
/// scaled as the teacher's network sees it. A shard that is missing or damaged is made anew, with the same bytes.
///
/// # Errors
/// [`TrainError::StoreMismatch`] where `folder` holds other latents; [`TrainError::Interrupted`] between chunks;
/// [`TrainError::Count`] and [`TrainError::NotFinite`] about the latents; [`TrainError::Write`]; those of `encode`.
pub fn encode_all(
    folder: &Path,
    plan: &LatentPlan,
    (captions, first_caption): (&Captions, usize),
    chunk: usize,
    interrupt: &Interrupt,
    mut encode: impl FnMut(&PictureChunk) -> Result<Vec<f32>, TrainError>,
) -> Result<LatentStore, TrainError> {
    let rows = rows::collect(folder, &plan.rows(), interrupt, |range| {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (first, end) = (size(range.first), size(range.first + range.count));
        let mut latents = Vec::with_capacity(size(range.count) * plan.latent_len());
        for first in (first..end).step_by(chunk.max(1)) {
            interrupt.check(|| format!("the encoding of pictures, {first} of {} done", plan.count))?;
            let asked = asked(plan, first, chunk.min(end - first));
            let made = encode(&asked)?;
            let wanted = asked.count * plan.latent_len();
            if made.len() != wanted {
                let of = format!("{} pictures", asked.count);
                return Err(TrainError::Count { who: "the teacher's encoder", found: made.len(), of, wanted });
            }
            latents.extend(made);
        }
        let cells = Cells::finite(latents, plan.dtype)
            .ok_or_else(|| TrainError::NotFinite { what: format!("latents of shard {}", range.index), key: "data.dtype" })?;
        Ok(vec![cells])
    })?;
    write_captions(&captions_path(folder), captions)?;
    Ok(LatentStore::new(rows, plan, first_caption))
}

/// A chunk with its draws; each picture has its own stream, so that they do not depend on shards and chunks.
fn asked(plan: &LatentPlan, first: usize, count: usize) -> PictureChunk {
    let noise = match plan.posterior {
        Posterior::Mode => None,
        Posterior::Sample => {
            let drawn = |number: usize| Draws::new(plan.seed, "real latents", number as u64).normal(&plan.latent_shape);
            Some((first..first + count).flat_map(drawn).collect())
        }
    };
    PictureChunk { first, count, noise }
}

/// The captions beside the latents, so that these are of use without the pictures.
fn write_captions(path: &Path, captions: &Captions) -> Result<(), TrainError> {
    if path.exists() {
        return Ok(());
    }
    let mut all = captions.starting(0)?;
    stream_atomically(path, |sink| {
        all.try_for_each(|found| {
            let caption = Captioned { file_name: String::new(), text: found?.text };
            let line = serde_json::to_string(&caption).map_err(|error| TrainError::json("a caption", &error))?;
            writeln!(sink, "{line}").map_err(TrainError::write(path))
        })
    })
}

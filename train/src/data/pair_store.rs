//! Reading ODE pairs.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::Dtype;

use super::pair_plan::PairPlan;
use super::pairs::{COMPLETE, Complete, check_shard};
use crate::error::TrainError;
use crate::store::tensor_file::TensorFile;

/// A complete, checked set of pairs. Latents stay on the disk until they are asked for.
#[derive(Clone, Debug)]
pub struct PairStore {
    latent_shape: Vec<usize>,
    latent_len: usize,
    shard_size: usize,
    shards: Vec<Shard>,
    prompts: Vec<u32>,
    guidance: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Shard {
    path: PathBuf,
    dtype: Dtype,
    noise: Range<usize>,
    latents: Range<usize>,
}

/// Some pairs, in the order asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairBatch {
    /// x_T, `[batch, ..latent_shape]`.
    pub noise: Vec<f32>,
    /// x_0, `[batch, ..latent_shape]`.
    pub latents: Vec<f32>,
    /// Prompt ids, `[batch]`.
    pub prompts: Vec<u32>,
    /// The teacher's guidance weights, `[batch]`.
    pub guidance: Vec<f32>,
}

impl PairStore {
    /// Opens the pairs in `folder` and reads every byte of them once, against the hashes and the plan's provenance.
    ///
    /// # Errors
    /// [`TrainError::PairsMismatch`], [`TrainError::Damaged`], [`TrainError::Read`].
    pub fn open(folder: &Path, plan: &PairPlan) -> Result<Self, TrainError> {
        let complete = Complete::read(folder)?
            .ok_or_else(|| TrainError::damaged(folder, format!("the pairs are not complete, since {COMPLETE} is missing")))?;
        plan.check(&folder.join(COMPLETE), &complete.provenance)?;
        let mut store = Self {
            latent_shape: plan.latent_shape.clone(),
            latent_len: plan.latent_len(),
            shard_size: usize::try_from(plan.shard).unwrap_or(usize::MAX),
            shards: Vec::new(),
            prompts: Vec::new(),
            guidance: Vec::new(),
        };
        for index in 0..plan.shards() {
            let path = plan.path(folder, index);
            let (file, found) = TensorFile::open_hashed(&path)?;
            check_shard(&path, plan, index, &file.metadata)?;
            let wanted = complete.shards.get(index as usize).map_or("nothing", String::as_str);
            if wanted != found {
                return Err(TrainError::damaged(
                    path,
                    format!("its SHA-256 is {found}, but {COMPLETE} says {wanted}; delete the file to have it made anew"),
                ));
            }
            store.add(path, &file, plan, index)?;
        }
        Ok(store)
    }

    fn add(&mut self, path: PathBuf, file: &TensorFile, plan: &PairPlan, index: u64) -> Result<(), TrainError> {
        let count = plan.shard_len(index) as usize;
        let wanted: Vec<usize> = std::iter::once(count).chain(plan.latent_shape.iter().copied()).collect();
        let tensor = |name: &str| file.tensors.get(name).filter(|(_, shape, _)| *shape == wanted);
        let prompts = file.u32("prompt")?.filter(|ids| ids.iter().all(|&id| (id as usize) < plan.prompt_count));
        let guidance = file.f32("guidance")?;
        match (tensor("x_T"), tensor("x_0"), prompts, guidance) {
            (Some((dtype, _, noise)), Some((other, _, latents)), Some(prompts), Some(guidance))
                if dtype == other && prompts.len() == count && guidance.len() == count =>
            {
                let (noise, latents) = (noise.clone(), latents.clone());
                self.shards.push(Shard { path, dtype: *dtype, noise, latents });
                self.prompts.extend(prompts);
                self.guidance.extend(guidance);
                Ok(())
            }
            _ => Err(TrainError::damaged(path, "its tensors are not those of a shard of pairs")),
        }
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// Shape of one latent, `[channels, height, width]`.
    pub fn latent_shape(&self) -> &[usize] {
        &self.latent_shape
    }

    /// The pairs numbered `indices`, as f32.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] where there is no such pair, [`TrainError::Read`].
    pub fn batch(&self, indices: &[i64]) -> Result<PairBatch, TrainError> {
        let mut batch = PairBatch::default();
        for &number in indices {
            let index = usize::try_from(number).ok().filter(|&index| index < self.len());
            let (index, shard) = index
                .and_then(|index| Some((index, self.shards.get(index / self.shard_size)?)))
                .ok_or_else(|| TrainError::Invalid(format!("there is no pair {number}, only {}", self.len())))?;
            shard.read(index % self.shard_size, self.latent_len, &mut batch).map_err(TrainError::read(&shard.path))?;
            batch.prompts.push(self.prompts[index]);
            batch.guidance.push(self.guidance[index]);
        }
        Ok(batch)
    }
}

impl Shard {
    fn read(&self, pair: usize, latent_len: usize, batch: &mut PairBatch) -> std::io::Result<()> {
        let mut file = File::open(&self.path)?;
        let width = if self.dtype == Dtype::F16 { 2 } else { 4 };
        let mut bytes = vec![0; latent_len * width];
        for (range, values) in [(&self.noise, &mut batch.noise), (&self.latents, &mut batch.latents)] {
            file.seek(SeekFrom::Start((range.start + pair * bytes.len()) as u64))?;
            file.read_exact(&mut bytes)?;
            if self.dtype == Dtype::F16 {
                values.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()));
            } else {
                values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
        }
        Ok(())
    }
}

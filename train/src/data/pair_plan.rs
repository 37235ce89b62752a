//! What a set of ODE pairs is: its provenance, its shards, and the draws that each begins with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::f16;

use crate::error::TrainError;
use crate::recipe::PairDtype;
use crate::session::Draws;

/// Everything that the bytes of a set of pairs depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct PairPlan {
    /// Hash of the teacher's files.
    pub teacher_sha256: String,
    /// Hash of the prompts, in order.
    pub prompts_sha256: String,
    /// How many prompts there are.
    pub prompt_count: usize,
    /// The sampler's name.
    pub sampler: String,
    /// Its steps.
    pub steps: u32,
    /// Range of the guidance weight; each pair draws its own.
    pub guidance: [f64; 2],
    /// What the teacher is given as the unconditional prompt.
    pub unconditional: String,
    /// Seed of the draws.
    pub seed: u64,
    /// Stored precision.
    pub dtype: PairDtype,
    /// Shape of one latent, `[channels, height, width]`.
    pub latent_shape: Vec<usize>,
    /// The autoencoder's factor that is already in the latents.
    pub latent_scaling: f64,
    /// How many pairs.
    pub count: u64,
    /// Pairs per shard.
    pub shard: u64,
}

/// What the teacher makes the latents of one shard from.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardInputs {
    /// The shard, from 0.
    pub index: u64,
    /// Number of its first pair.
    pub first: u64,
    /// How many pairs.
    pub count: usize,
    /// x_T, standard normal, `[count, ..latent_shape]`, already rounded to the stored precision.
    pub noise: Vec<f32>,
    /// Prompt ids, `[count]`.
    pub prompts: Vec<u32>,
    /// Guidance weights, `[count]`.
    pub guidance: Vec<f32>,
}

impl PairPlan {
    /// How many shards the pairs are in.
    pub fn shards(&self) -> u64 {
        self.count.div_ceil(self.shard.max(1))
    }

    /// How many values one latent has.
    pub fn latent_len(&self) -> usize {
        self.latent_shape.iter().product()
    }

    /// How many pairs shard `index` has.
    pub fn shard_len(&self, index: u64) -> u64 {
        let first = index.saturating_mul(self.shard);
        self.count.saturating_sub(first).min(self.shard)
    }

    /// Where shard `index` is in `folder`.
    pub(super) fn path(&self, folder: &Path, index: u64) -> PathBuf {
        folder.join(format!("pairs-{index:05}.safetensors"))
    }

    /// The draws of shard `index`; each pair has its own stream, so that they do not depend on the shards' size.
    pub fn inputs(&self, index: u64) -> ShardInputs {
        let first = index.saturating_mul(self.shard);
        let count = self.shard_len(index);
        let mut inputs = ShardInputs {
            index,
            first,
            count: usize::try_from(count).unwrap_or(usize::MAX),
            noise: Vec::new(),
            prompts: Vec::new(),
            guidance: Vec::new(),
        };
        let [low, high] = self.guidance;
        let prompts = i64::try_from(self.prompt_count).unwrap_or(i64::MAX);
        for pair in first..first + count {
            let mut draws = Draws::new(self.seed, "pairs", pair);
            inputs.prompts.extend(draws.integers(1, 0, prompts).iter().map(|&id| id as u32));
            let weight = |u: &f32| (low + (high - low) * f64::from(*u)) as f32;
            inputs.guidance.extend(draws.uniform(1).iter().map(weight));
            inputs.noise.extend(draws.normal(&self.latent_shape));
        }
        if self.dtype == PairDtype::F16 {
            for value in &mut inputs.noise {
                *value = f16::from_f32(*value).to_f32();
            }
        }
        inputs
    }

    /// The provenance as text, by field; stored with every shard.
    pub fn provenance(&self) -> BTreeMap<String, String> {
        let dtype = match self.dtype {
            PairDtype::F16 => "f16",
            PairDtype::F32 => "f32",
        };
        [
            ("format", "1".to_string()),
            ("teacher_sha256", self.teacher_sha256.clone()),
            ("prompts_sha256", self.prompts_sha256.clone()),
            ("prompt_count", self.prompt_count.to_string()),
            ("sampler", self.sampler.clone()),
            ("steps", self.steps.to_string()),
            ("guidance", format!("{:?}", self.guidance)),
            ("unconditional", self.unconditional.clone()),
            ("seed", self.seed.to_string()),
            ("dtype", dtype.to_string()),
            ("latent_shape", format!("{:?}", self.latent_shape)),
            ("latent_scaling", format!("{:?}", self.latent_scaling)),
            ("count", self.count.to_string()),
            ("shard_size", self.shard.to_string()),
        ]
        .map(|(field, value)| (field.to_string(), value))
        .into()
    }

    /// Compares a stored provenance with this plan's.
    ///
    /// # Errors
    /// [`TrainError::PairsMismatch`] naming the first field that differs.
    pub(super) fn check(&self, path: &Path, stored: &BTreeMap<String, String>) -> Result<(), TrainError> {
        for (field, wanted) in self.provenance() {
            let found = stored.get(&field);
            if found != Some(&wanted) {
                return Err(TrainError::PairsMismatch {
                    path: path.to_path_buf(),
                    field,
                    stored: found.map_or_else(|| "nothing".to_string(), Clone::clone),
                    wanted,
                });
            }
        }
        Ok(())
    }
}

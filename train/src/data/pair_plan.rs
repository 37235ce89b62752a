//! What a set of ODE pairs is: its provenance, its shards, and the draws that each begins with.

use std::collections::BTreeMap;

use half::f16;
use safetensors::Dtype;

use super::rows::{Column, RowSet, ShardRange};
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
    /// Shape of one latent, `[channels, height, width]`, before them the frames of a video's.
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
    /// How many values one latent has.
    pub fn latent_len(&self) -> usize {
        self.latent_shape.iter().product()
    }

    /// The draws of shard `index`; each pair has its own stream, so that they do not depend on the shards' size.
    pub fn inputs(&self, index: u64) -> ShardInputs {
        let ShardRange { first, count, .. } = self.rows().range(index);
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

    /// The rows of these pairs: noise x_T, the teacher's latents x_0, prompt ids and guidance weights.
    pub(super) fn rows(&self) -> RowSet {
        let latent = |name| Column::floats(name, self.dtype, &self.latent_shape);
        RowSet {
            name: "pairs",
            title: "ODE pairs",
            one: "pair",
            provenance: self.provenance(),
            count: self.count,
            shard: self.shard,
            columns: vec![
                Column { name: "guidance".into(), dtype: Dtype::F32, shape: Vec::new() },
                Column { name: "prompt".into(), dtype: Dtype::U32, shape: Vec::new() },
                latent("x_0"),
                latent("x_T"),
            ],
        }
    }
}

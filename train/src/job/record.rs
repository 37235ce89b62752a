//! Recording: what the manifest and the pairs say about a run.

use std::collections::BTreeMap;

use super::distillation::Distillation;
use crate::data::{ConditionPlan, PairPlan};
use crate::device;
use crate::error::TrainError;
use crate::method;
use crate::method::regression::Regression;
use crate::module::LowRank;
use crate::recipe::{LoraRole, Sampler};
use crate::store::hash;

/// SHA-256 of every input by the key of the recipe that names it.
pub(super) fn inputs(job: &Distillation) -> Result<BTreeMap<String, String>, TrainError> {
    let recipe = &job.loaded.recipe;
    let mut inputs = BTreeMap::from([("teacher.path".to_string(), job.teacher_hash.clone())]);
    if let Some(pixel) = &recipe.discriminator.pixel {
        inputs.insert("discriminator.pixel.path".into(), hash::model(&job.loaded.resolve(&pixel.path))?);
    }
    if let Some(score) = &recipe.score {
        let folder = job.loaded.resolve(&score.classifier);
        let files = job.scorer.iter().flat_map(|scorer| scorer.files());
        for name in std::iter::once("config.json".to_string()).chain(files) {
            let hash = hash::file(&folder.join(&name))?;
            inputs.insert(format!("score.classifier {name}"), hash);
        }
    }
    if let Some(init) = &job.init {
        inputs.insert("student.init".into(), init.sha256.clone());
    }
    let regression = recipe.section::<Regression>()?.filter(|section| section.iterations > 0);
    if let Some(file) = regression.and_then(|section| section.perceptual) {
        inputs.insert("regression.perceptual".into(), hash::file(&job.loaded.resolve(&file))?);
    }
    if let Some(real) = &job.real {
        let key = if real.pictures.is_some() { "data.path" } else { "data.latents" };
        inputs.insert(key.into(), real.plan.pictures_sha256.clone());
    }
    if let Some(file) = &recipe.prompts.file {
        inputs.insert("prompts.file".into(), hash::file(&job.loaded.resolve(file))?);
    }
    Ok(inputs)
}

/// Versions of the libraries that the numbers come from.
pub(super) fn versions() -> BTreeMap<String, String> {
    BTreeMap::from([("burn".to_string(), device::BURN.to_string())])
}

/// Choices that are not the recipe's, by name.
///
/// # Errors
/// When the recipe's student is none of the teacher's.
pub(super) fn choices(job: &Distillation) -> Result<BTreeMap<String, String>, TrainError> {
    let student = job.student()?;
    let rollout = student.rollout();
    let walk = (rollout.process().parameterisation(), rollout.rule(), rollout.network_times());
    let texts = [
        ("device", format!("{:?}", job.loaded.recipe.run.device).to_lowercase()),
        ("evaluation", "the noise of the run's seed, guidance in the middle of teacher.guidance".to_string()),
        ("head_weights", "uniform in +-1/sqrt(fan_in), the last layer times logit_scale".to_string()),
        ("parameter_write", "32-bit, rounded to nearest without compensation".to_string()),
        ("head_bias", "zero".to_string()),
        ("latent_taps", job.taps.join(" ")),
        ("student", format!("{:?}, {:?}, times {:?}", walk.0, walk.1, walk.2)),
        ("teacher_time_ids", "(height, width, 0, 0, height, width)".to_string()),
        ("unconditional", job.teacher.unconditional.words().to_string()),
    ];
    let methods = method::of(&job.loaded.recipe).flat_map(|method| method.choices).map(|&(name, text)| (name, text.to_string()));
    Ok(texts.into_iter().chain(lora(job)?).chain(methods).map(|(name, text)| (name.to_string(), text)).collect())
}

/// What is trained by factors, and how they begin.
fn lora(job: &Distillation) -> Result<Vec<(&'static str, String)>, TrainError> {
    let mut texts = Vec::new();
    for (name, role) in [("lora_of_generator", LoraRole::Generator), ("lora_of_fake_score", LoraRole::FakeScore)] {
        if let Some((LowRank { rank, alpha, .. }, layers)) = job.materials().factors(role)? {
            let modules: Vec<&str> = layers.iter().map(|layer| layer.module.as_str()).collect();
            texts.push((name, format!("rank {rank}, alpha {alpha}, {} layers: {}", modules.len(), modules.join(" "))));
        }
    }
    if !texts.is_empty() {
        let start = "W x + b + (alpha / rank) B (A x); A drawn for role and layer, B zero; W the teacher's, frozen".to_string();
        texts.push(("lora_factors", start));
    }
    Ok(texts)
}

/// What the conditions of the prompts are.
pub(super) fn condition_plan(job: &Distillation) -> ConditionPlan {
    ConditionPlan {
        teacher_sha256: job.teacher_hash.clone(),
        prompts_sha256: job.texts_sha256.clone(),
        prompt_count: job.texts.len(),
        encoding: job.teacher.pipeline.class.clone(),
        unconditional: job.teacher.unconditional,
        dtype: job.loaded.recipe.prompts.dtype,
        shard_bytes: ConditionPlan::SHARD_BYTES,
    }
}

/// What the ODE pairs are.
pub(super) fn pair_plan(job: &Distillation) -> PairPlan {
    let recipe = &job.loaded.recipe;
    PairPlan {
        teacher_sha256: job.teacher_hash.clone(),
        prompts_sha256: job.prompts_sha256.clone(),
        prompt_count: job.prompts.len(),
        sampler: match recipe.pairs.sampler {
            Sampler::EulerTrailing => "euler_trailing".into(),
        },
        steps: recipe.pairs.steps,
        guidance: recipe.teacher.guidance,
        unconditional: job.teacher.unconditional.words().to_string(),
        seed: recipe.run.seed,
        dtype: recipe.pairs.dtype,
        latent_shape: job.teacher.latent_shape.clone(),
        latent_scaling: job.teacher.latent_scaling,
        count: recipe.pairs.count,
        shard: recipe.pairs.shard,
    }
}

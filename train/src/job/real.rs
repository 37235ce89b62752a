//! Real latents: what the recipe's `[data]` stands for, and how it is encoded.

use std::path::Path;

use crate::data::{Captions, LatentPlan, LatentStore, Pictures, Prompts, encode_all};
use crate::error::TrainError;
use crate::method::{self, Need};
use crate::recipe::{Data, LoadedRecipe};
use crate::session::Interrupt;
use crate::teacher::{Encoder, Teacher, chunk};

/// What the recipe names, of which nothing was looked at yet but the names.
pub(super) enum Named {
    /// Pictures.
    Pictures(Pictures),
    /// Latents that are there, as they say themselves.
    Latents(Box<LatentPlan>, Captions),
}

/// Real latents, encoded or to be encoded.
pub(super) struct Real {
    pub captions: Captions,
    /// None where the recipe names their latents alone.
    pub pictures: Option<Pictures>,
    pub plan: LatentPlan,
}

/// What a recipe names whose methods learn from real latents; none for the others.
pub(super) fn named(loaded: &LoadedRecipe) -> Result<Option<Named>, TrainError> {
    let Some(data) = data(loaded) else { return Ok(None) };
    Ok(Some(match (&data.path, &data.latents) {
        (Some(path), _) => Named::Pictures(Pictures::open(&loaded.resolve(path))?),
        (None, Some(folder)) => {
            let (plan, captions) = LatentPlan::of_folder(&loaded.resolve(folder))?;
            Named::Latents(Box::new(plan), captions)
        }
        (None, None) => return Ok(None),
    }))
}

fn data(loaded: &LoadedRecipe) -> Option<&Data> {
    let is_needed = method::of(&loaded.recipe).any(|method| (method.needs)(&loaded.recipe).contains(&Need::Latents));
    loaded.recipe.data.as_ref().filter(|_| is_needed)
}

impl Named {
    /// Looks at every picture, or at what the latents say of themselves.
    pub(super) fn opened(self, loaded: &LoadedRecipe, teacher: &Teacher, teacher_hash: &str) -> Result<Real, TrainError> {
        let section = data(loaded).cloned().unwrap_or_default();
        let of_teacher = |plan: LatentPlan| LatentPlan {
            teacher_sha256: teacher_hash.to_string(),
            picture_size: teacher.picture_size,
            latent_shape: teacher.latent_shape.clone(),
            latent_scaling: teacher.latent_scaling,
            ..plan
        };
        let folder = section.latents.as_ref().map(|folder| loaded.resolve(folder));
        let real = match self {
            Self::Pictures(_) if teacher.latent_shape.len() != 3 => {
                let problem = "names pictures, but the teacher makes videos, and real videos cannot be encoded yet";
                return Err(TrainError::recipe("data.path", problem));
            }
            Self::Pictures(pictures) => {
                let captions = pictures.captions().clone();
                let plan = LatentPlan {
                    teacher_sha256: String::new(),
                    pictures_sha256: pictures.look()?,
                    captions_sha256: Prompts::captions(captions.clone()).sha256()?,
                    posterior: section.posterior,
                    seed: loaded.recipe.run.seed,
                    dtype: section.dtype,
                    picture_size: [0; 2],
                    latent_shape: Vec::new(),
                    latent_scaling: 0.0,
                    count: pictures.len() as u64,
                    shard: section.shard,
                };
                Real { captions, pictures: Some(pictures), plan: of_teacher(plan) }
            }
            Self::Latents(plan, captions) => {
                let found = Prompts::captions(captions.clone()).sha256()?;
                if found != plan.captions_sha256 || captions.len() as u64 != plan.count {
                    let folder = folder.unwrap_or_default();
                    let reason = format!("captions.jsonl in it holds other captions than the {} of its latents", plan.count);
                    return Err(TrainError::damaged(folder, reason));
                }
                Real { captions, pictures: None, plan: of_teacher(*plan) }
            }
        };
        // Latents of something else would be found only once all texts were embedded.
        folder.map_or(Ok(()), |folder| real.plan.check(&folder))?;
        Ok(real)
    }
}

impl Real {
    /// The latents, made in `folder` as far as they are not there; their captions are numbered from `first_caption` on.
    pub(super) fn latents(
        &self,
        teacher: &Teacher,
        first_caption: usize,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<LatentStore, TrainError> {
        let Self { captions, pictures, plan } = self;
        let Some(pictures) = pictures else { return LatentStore::open(folder, plan, first_caption) };
        let encoder = Encoder::of(teacher);
        let together = chunk(&plan.latent_shape);
        encode_all(folder, plan, (captions, first_caption), together, interrupt, |asked| {
            let chunk = pictures.starting(asked.first, plan.picture_size)?.take(asked.count);
            let pixels = chunk.collect::<Result<Vec<_>, _>>()?.concat();
            encoder.latents(asked.count, pixels, asked.noise.clone())
        })
    }
}

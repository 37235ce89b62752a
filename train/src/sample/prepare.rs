//! From a request to what every step of a walk is given.

use dmdx_importer::Pipeline;
use dmdx_runtime::Tensor;
use dmdx_runtime::family::{self, Condition, Family, Fixed, Geometry, Networks};
use dmdx_runtime::manifest::Unconditional;

use super::request::Request;
use crate::error::{TeacherError, TrainError};

/// What a walk needs of a pipeline and a request.
pub(super) struct Prepared {
    pub family: &'static dyn Family,
    pub told: Condition,
    pub negative: Condition,
    pub fixed: Fixed,
    /// How many tokens the network makes of a sample.
    pub tokens: usize,
}

/// Encodes the prompts. Where there is no negative prompt, `unconditional` stands for it, or what the pipeline has for that.
pub(super) fn prepare(
    pipeline: &Pipeline,
    networks: &dyn Networks,
    request: &Request,
    noise: &Tensor,
    unconditional: Option<Unconditional>,
) -> Result<Prepared, TrainError> {
    let weight = request.guidance_scale;
    if !weight.is_finite() {
        return Err(TeacherError::Guidance(weight).into());
    }
    let family = family::of_class(&pipeline.class)?;
    let latent_shape = noise.shape().get(1..).unwrap_or_default().to_vec();
    family.check_latents(networks, &latent_shape)?;
    let told = family.encode(networks, &[&request.prompt], 1)?;
    let negative = match (&request.negative_prompt, unconditional.unwrap_or_else(|| family.unconditional(networks))) {
        (None, Unconditional::Zeros) => told.zeros()?,
        (None, Unconditional::EmptyPrompt) => family.encode(networks, &[""], 1)?,
        (Some(text), _) => family.encode(networks, &[text], 1)?,
    };
    let denoiser = family.denoiser();
    let tokens = family.token_grid(networks.config(denoiser.folder), &latent_shape).map_or(0, |grid| grid.iter().product());
    let geometry = Geometry { latent_shape, pixels: [request.height, request.width] };
    let fixed = family.fixed(networks, &geometry)?;
    Ok(Prepared { family, told, negative, fixed, tokens })
}

//! `StableDiffusionXLPipeline`.

use dmdx_runtime::Tensor;
use serde_json::Value as Json;

use super::clip_pair::{Condition, encoded, finished};
use super::denoise::{Start, denoise};
use super::tensors::{floats, map, map_channels};
use super::{Ids, Networks, Progress, Request, Trace, number};
use crate::error::TrainError;

/// Only the second encoder has a projection.
const PROJECTED: [bool; 2] = [false, true];

pub(super) fn run(
    networks: &dyn Networks,
    request: &Request,
    noise: &Tensor,
    progress: Progress<'_>,
) -> Result<Trace, TrainError> {
    let mut ids = Ids::new();
    let told = encoded(networks, &request.prompt, PROJECTED, &mut ids)?;
    // Zeros are the class's default where the file says nothing.
    let zeros = networks.pipeline().model_index["force_zeros_for_empty_prompt"] != Json::Bool(false);
    let negative = match &request.negative_prompt {
        None if zeros => Condition { states: map(&told.states, |_| 0.0)?, pooled: map(&told.pooled, |_| 0.0)? },
        text => encoded(networks, text.as_deref().unwrap_or_default(), PROJECTED, &mut Ids::new())?,
    };
    let sizes = [request.height, request.width, 0, 0, request.height, request.width].map(|size| size as f32);
    let time_ids = floats(&[1, 6], sizes.to_vec())?;

    let denoised = denoise(networks, request, Start { noise, tokens: 0 }, progress, |sample, time, with_prompt| {
        let told = if with_prompt { &told } else { &negative };
        let inputs = [
            ("sample", sample),
            ("timestep", time),
            ("encoder_hidden_states", &told.states),
            ("text_embeds", &told.pooled),
            ("time_ids", &time_ids),
        ];
        networks.one(("unet", "unet"), &inputs, "sample")
    })?;
    let latent = unscaled(networks, denoised.last()?)?;
    finished(networks, &latent, ids, [told, negative], denoised)
}

/// The latents in the VAE's own scale: by its factor, and by the statistics of each channel where its file has both.
fn unscaled(networks: &dyn Networks, latent: &Tensor) -> Result<Tensor, TrainError> {
    let factor = number(networks.pipeline(), "vae", "scaling_factor", 0.18215);
    let vae = networks.pipeline().components.get("vae").map_or(&Json::Null, |vae| &vae.config);
    if vae["latents_mean"].is_null() || vae["latents_std"].is_null() {
        return map(latent, |value| value / factor);
    }
    let channels = latent.shape().get(1).copied().unwrap_or_default();
    let statistics = |key: &str| -> Result<Vec<f64>, TrainError> {
        let values: Option<Vec<f64>> = vae[key].as_array().and_then(|values| values.iter().map(Json::as_f64).collect());
        let values = values.filter(|values| values.len() == channels);
        values.ok_or_else(|| {
            TrainError::Invalid(format!("the vae's {key} is {}, not {channels} numbers, one per channel", vae[key]))
        })
    };
    let (mean, deviation) = (statistics("latents_mean")?, statistics("latents_std")?);
    map_channels(latent, |channel, value| value * deviation[channel] / factor + mean[channel])
}

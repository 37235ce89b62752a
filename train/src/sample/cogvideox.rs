//! `CogVideoXPipeline`.

use dmdx_runtime::Tensor;
use dmdx_runtime::pipeline::rotary::Rotary;
use indexmap::IndexMap;

use super::denoise::{Denoised, Start, denoise};
use super::tensors::{frames_and_channels_swapped, map, without_first};
use super::{Ids, Networks, Progress, Request, Trace, encode, number, t5_states, to_unit_range, tokenizer};
use crate::error::TrainError;

pub(super) fn run(
    networks: &dyn Networks,
    request: &Request,
    noise: &Tensor,
    progress: Progress<'_>,
) -> Result<Trace, TrainError> {
    let pipeline = networks.pipeline();
    let &[_, frames, _, height, width] = noise.shape() else {
        return Err(TrainError::Invalid(format!("the noise of a video has five dimensions, not {:?}", noise.shape())));
    };
    let padding = frames_of_padding(networks, frames)?;
    let length = number(pipeline, "transformer", "max_text_seq_length", 226.0) as usize;
    let tokenizer = tokenizer(pipeline, "tokenizer")?;
    let mut ids = Ids::new();
    let tokens = encode(&tokenizer, &request.prompt, length, "tokenizer", &mut ids)?;
    let context = t5_states(networks, "text_encoder", &tokens)?;
    let negative = request.negative_prompt.as_deref().unwrap_or_default();
    let negative = encode(&tokenizer, negative, length, "tokenizer", &mut Ids::new())?;
    let negative_context = t5_states(networks, "text_encoder", &negative)?;

    let tables = rotary_tables(networks, [frames, height, width])?;
    let denoised = denoise(networks, request, Start { noise, tokens: 0 }, progress, |sample, time, with_prompt| {
        let context = if with_prompt { &context } else { &negative_context };
        let mut inputs = vec![("hidden_states", sample), ("encoder_hidden_states", context), ("timestep", time)];
        if let Some((cos, sin)) = &tables {
            inputs.extend([("rope_cos", cos), ("rope_sin", sin)]);
        }
        networks.one(("transformer", "transformer"), &inputs, "sample")
    })?;
    let factor = number(pipeline, "vae", "scaling_factor", 1.15258426);
    let latent = frames_and_channels_swapped(&without_first(denoised.last()?, padding)?)?;
    let latent = map(&latent, |value| value / factor)?;
    let video = networks.one(("vae", "vae_decoder"), &[("latent", &latent)], "sample")?;
    let embeddings = IndexMap::from([("prompt_embeds", context), ("negative_prompt_embeds", negative_context)]);
    let result = to_unit_range(&frames_and_channels_swapped(&video)?)?;
    let Denoised { timesteps, latents } = denoised;
    Ok(Trace { ids, embeddings, timesteps, latents, result })
}

/// How many latent frames at the beginning are not decoded. Transformers with patches in time (1.5) take whole patches of
/// frames, more than the video has, and the pipeline then leaves out the first ones.
fn frames_of_padding(networks: &dyn Networks, frames: usize) -> Result<usize, TrainError> {
    let decoder = networks.graph(("vae", "vae_decoder"))?;
    let latent = decoder.inputs().first().and_then(|(_, id)| decoder.value(*id).ty.shape.0.get(2)?.known());
    let decoded = latent.ok_or_else(|| TrainError::Invalid("the decoder does not say how many frames it takes".into()))?;
    let patch = number(networks.pipeline(), "transformer", "patch_size_t", 1.0).max(1.0) as usize;
    let needed = decoded.next_multiple_of(patch);
    if frames != needed {
        return Err(TrainError::Invalid(format!(
            "the noise has {frames} latent frames, but a video of {decoded} in patches of {patch} needs {needed}"
        )));
    }
    Ok(needed - decoded)
}

/// The positions of so many latent frames, rows and columns, for the transformers that are given them.
fn rotary_tables(networks: &dyn Networks, [frames, height, width]: [usize; 3]) -> Result<Option<(Tensor, Tensor)>, TrainError> {
    let wrap = |error| TrainError::component("computing the positions of the video", error);
    let config = networks.pipeline().components.get("transformer").map(|component| &component.config);
    let config = config.ok_or_else(|| TrainError::Invalid("the pipeline has no transformer".into()))?;
    let rotary = Rotary::from_config(config).map_err(wrap)?;
    rotary.map(|rotary| rotary.tables(frames, height, width).map_err(wrap)).transpose()
}

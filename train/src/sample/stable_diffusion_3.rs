//! `StableDiffusion3Pipeline`.

use dmdx_runtime::Tensor;

use super::clip_pair::{Condition, encoded, finished};
use super::denoise::{Start, denoise};
use super::tensors::{floats, join, map, padded};
use super::{Ids, Networks, Progress, Request, Trace, encode, number, t5_states, tokenizer};
use crate::error::TrainError;

/// The pipeline's default `max_sequence_length` of T5.
const T5_TOKENS: usize = 256;

pub(super) fn run(
    networks: &dyn Networks,
    request: &Request,
    noise: &Tensor,
    progress: Progress<'_>,
) -> Result<Trace, TrainError> {
    let pipeline = networks.pipeline();
    let mut ids = Ids::new();
    let told = embed(networks, &request.prompt, &mut ids)?;
    let negative = embed(networks, request.negative_prompt.as_deref().unwrap_or_default(), &mut Ids::new())?;

    let patch = number(pipeline, "transformer", "patch_size", 2.0).max(1.0) as usize;
    let tokens = noise.shape().iter().skip(2).map(|size| size / patch).product();
    let denoised = denoise(networks, request, Start { noise, tokens }, progress, |sample, time, with_prompt| {
        let told = if with_prompt { &told } else { &negative };
        let inputs = [
            ("hidden_states", sample),
            ("encoder_hidden_states", &told.states),
            ("pooled_projections", &told.pooled),
            ("timestep", time),
        ];
        networks.one(("transformer", "transformer"), &inputs, "sample")
    })?;
    let (factor, shift) = (number(pipeline, "vae", "scaling_factor", 0.18215), number(pipeline, "vae", "shift_factor", 0.0));
    let latent = map(denoised.last()?, |value| value / factor + shift)?;
    finished(networks, &latent, ids, [told, negative], denoised)
}

/// CLIP's states, padded to T5's width, before T5's states; and both projections of CLIP.
fn embed(networks: &dyn Networks, text: &str, ids: &mut Ids) -> Result<Condition, TrainError> {
    let Condition { states, pooled } = encoded(networks, text, [true, true], ids)?;
    let width = number(networks.pipeline(), "transformer", "joint_attention_dim", 4096.0) as usize;
    let t5 = if networks.pipeline().components.contains_key("text_encoder_3") {
        let tokens = encode(&tokenizer(networks.pipeline(), "tokenizer_3")?, text, T5_TOKENS, "tokenizer_3", ids)?;
        t5_states(networks, "text_encoder_3", &tokens)?
    } else {
        // The pipeline runs without its largest encoder, in whose place stand zeros.
        floats(&[1, T5_TOKENS, width], vec![0.0; T5_TOKENS * width])?
    };
    Ok(Condition { states: join(&[padded(states, width)?, t5], 1)?, pooled })
}

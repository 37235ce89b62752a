//! What the pipelines of pictures share: two CLIP encoders, a summary of the prompt beside its states, and a VAE for pictures.

use dmdx_runtime::Tensor;
use indexmap::IndexMap;

use super::denoise::Denoised;
use super::tensors::join;
use super::{Ids, Networks, Trace, encode, to_unit_range, tokenizer};
use crate::error::TrainError;

const ENCODERS: [(&str, &str); 2] = [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")];

/// What a network is told of one prompt.
pub(super) struct Condition {
    /// `[1, tokens, width]`.
    pub states: Tensor,
    /// `[1, width]`.
    pub pooled: Tensor,
}

/// Both encoders' penultimate states side by side, and side by side the projections of those that are `projected`.
pub(super) fn encoded(networks: &dyn Networks, text: &str, projected: [bool; 2], ids: &mut Ids) -> Result<Condition, TrainError> {
    let (mut states, mut pooled) = (Vec::new(), Vec::new());
    for ((encoder, folder), projected) in ENCODERS.into_iter().zip(projected) {
        let tokenizer = tokenizer(networks.pipeline(), folder)?;
        let tokens = encode(&tokenizer, text, tokenizer.max_length(), folder, ids)?;
        let wanted = if projected { &["penultimate_hidden_state", "text_embeds"][..] } else { &["penultimate_hidden_state"] };
        let mut results = networks.run((encoder, "text_encoder"), &[("input_ids", &tokens)], wanted)?.into_iter();
        states.extend(results.next());
        pooled.extend(results.next());
    }
    Ok(Condition { states: join(&states, 2)?, pooled: join(&pooled, 1)? })
}

/// Decodes `latent` and puts everything on the way together.
pub(super) fn finished(
    networks: &dyn Networks,
    latent: &Tensor,
    ids: Ids,
    [told, negative]: [Condition; 2],
    denoised: Denoised,
) -> Result<Trace, TrainError> {
    let picture = networks.one(("vae", "vae_decoder"), &[("latent", latent)], "sample")?;
    let embeddings = IndexMap::from([
        ("prompt_embeds", told.states),
        ("negative_prompt_embeds", negative.states),
        ("pooled_prompt_embeds", told.pooled),
        ("negative_pooled_prompt_embeds", negative.pooled),
    ]);
    let Denoised { timesteps, latents } = denoised;
    Ok(Trace { ids, embeddings, timesteps, latents, result: to_unit_range(&picture)? })
}

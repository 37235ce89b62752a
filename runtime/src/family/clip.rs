//! What pipelines with two CLIP encoders share.

use super::networks::{Network, Networks};
use super::text::encoded;
use crate::tensor::ops::join;
use crate::{Error, Tensor};

/// Both encoders and their tokenizers' folders.
const ENCODERS: [(Network, &str); 2] =
    [(Network::clip("text_encoder"), "tokenizer"), (Network::clip("text_encoder_2"), "tokenizer_2")];

/// Both encoders' penultimate states side by side `[texts, tokens, width]`, and side by side the projections of those that
/// are `projected` `[texts, width]`.
pub(super) fn pair(
    networks: &dyn Networks,
    texts: &[&str],
    batch: usize,
    projected: [bool; 2],
) -> Result<(Tensor, Tensor), Error> {
    let (mut states, mut pooled) = (Vec::new(), Vec::new());
    for ((encoder, tokenizer), projected) in ENCODERS.into_iter().zip(projected) {
        let wanted = if projected { &["penultimate_hidden_state", "text_embeds"][..] } else { &["penultimate_hidden_state"] };
        let mut results = encoded(networks, encoder.place, (tokenizer, None), texts, batch, wanted)?.into_iter();
        states.extend(results.next());
        pooled.extend(results.next());
    }
    Ok((join(&states, 2)?, join(&pooled, 1)?))
}

//! What pipelines with two CLIP encoders share.

use super::networks::{Network, Networks};
use super::text::{Reader, encoded};
use crate::tensor::ops::join;
use crate::{Error, Tensor};

/// Both encoders and what they read through.
const ENCODERS: [(Network, Reader); 2] = [
    (Network::clip("text_encoder"), Reader::whole("tokenizer")),
    (Network::clip("text_encoder_2"), Reader::whole("tokenizer_2")),
];

/// What both read through.
pub(super) fn readers() -> Vec<Reader> {
    ENCODERS.iter().map(|(_, reader)| *reader).collect()
}

/// Both encoders' penultimate states side by side `[texts, tokens, width]`, and side by side the projections of those that
/// are `projected` `[texts, width]`.
pub(super) fn pair(
    networks: &dyn Networks,
    texts: &[&str],
    batch: usize,
    projected: [bool; 2],
) -> Result<(Tensor, Tensor), Error> {
    let (mut states, mut pooled) = (Vec::new(), Vec::new());
    for ((encoder, reader), projected) in ENCODERS.into_iter().zip(projected) {
        let wanted = if projected { &["penultimate_hidden_state", "text_embeds"][..] } else { &["penultimate_hidden_state"] };
        let mut results = encoded(networks, encoder.place, reader, texts, batch, wanted)?.into_iter();
        states.extend(results.next());
        pooled.extend(results.next());
    }
    Ok((join(&states, 2)?, join(&pooled, 1)?))
}

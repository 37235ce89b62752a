//! Texts to the results of their encoders.

use super::networks::Networks;
use super::settings::Place;
use crate::error::FamilyError;
use crate::tensor::ops::join;
use crate::tokenizer::Padding;
use crate::{Error, Tensor};

/// More tokens than any text encoder of these pipelines reads; attention takes their square.
const MOST_TOKENS: usize = 1 << 12;

/// Results of an encoder for all texts, `[texts, ..]` each in the order of `wanted`; `batch` texts are read at once.
/// `length` is the number of tokens, the tokenizer's own where there is none.
pub(super) fn encoded(
    networks: &dyn Networks,
    encoder: Place,
    (tokenizer, length): (&str, Option<usize>),
    texts: &[&str],
    batch: usize,
    wanted: &[&str],
) -> Result<Vec<Tensor>, Error> {
    let reader = networks.tokenizer(tokenizer)?;
    let length = length.unwrap_or(reader.max_length());
    if length > MOST_TOKENS {
        return Err(FamilyError::Tokens { tokenizer: tokenizer.into(), length, most: MOST_TOKENS }.into());
    }
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); wanted.len()];
    for texts in texts.chunks(batch.max(1)) {
        let mut ids = Vec::with_capacity(texts.len() * length);
        for text in texts {
            ids.extend(reader.encode(text, length, Padding::MaxLength)?.ids);
        }
        let ids = Tensor::i64([texts.len(), length], ids)?;
        let results = networks.run(encoder, &[("input_ids", &ids)], wanted)?;
        if results.len() != wanted.len() {
            return Err(FamilyError::no_result(encoder, &wanted.join(", ")).into());
        }
        parts.iter_mut().zip(results).for_each(|(part, result)| part.push(result));
    }
    parts.iter().map(|part| join(part, 0)).collect()
}

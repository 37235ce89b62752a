//! Texts to the results of their encoders.

use super::networks::Networks;
use super::settings::Place;
use crate::error::FamilyError;
use crate::tensor::ops::join;
use crate::tokenizer::Padding;
use crate::{Error, Tensor, Tokenizer};

/// More tokens than any text encoder of these pipelines reads; attention takes their square.
const MOST_TOKENS: usize = 1 << 12;

/// Through which tokenizer texts are read, and how much of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// Its folder.
    pub tokenizer: &'static str,
    /// The number of tokens, special ones among them; the tokenizer's own limit where there is none.
    pub length: Option<usize>,
}

impl Reader {
    /// As much as the tokenizer itself allows.
    pub(super) const fn whole(tokenizer: &'static str) -> Self {
        Self { tokenizer, length: None }
    }

    /// So many tokens.
    pub(super) const fn of(tokenizer: &'static str, length: usize) -> Self {
        Self { tokenizer, length: Some(length) }
    }
}

/// How many tokens are read.
pub(super) fn tokens_read(reader: Reader, tokenizer: &Tokenizer) -> Result<usize, Error> {
    let length = reader.length.unwrap_or(tokenizer.max_length());
    if length > MOST_TOKENS {
        return Err(FamilyError::Tokens { tokenizer: reader.tokenizer.into(), length, most: MOST_TOKENS }.into());
    }
    Ok(length)
}

/// Results of an encoder for all texts, `[texts, ..]` each in the order of `wanted`; `batch` texts are read at once.
pub(super) fn encoded(
    networks: &dyn Networks,
    encoder: Place,
    reader: Reader,
    texts: &[&str],
    batch: usize,
    wanted: &[&str],
) -> Result<Vec<Tensor>, Error> {
    let tokenizer = networks.tokenizer(reader.tokenizer)?;
    let length = tokens_read(reader, &tokenizer)?;
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); wanted.len()];
    for texts in texts.chunks(batch.max(1)) {
        let mut ids = Vec::with_capacity(texts.len() * length);
        for text in texts {
            ids.extend(tokenizer.encode(text, length, Padding::MaxLength)?.ids);
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

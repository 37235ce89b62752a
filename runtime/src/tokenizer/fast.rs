//! What the `tokenizers` library does for the fast classes.

use tokenizers::Tokenizer;

use super::byte_pair;
use super::t5::plain_text;
use crate::Error;
use crate::error::RequestError;

/// How tokens spell text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spelling {
    /// By CLIP's byte pairs.
    BytePairs,
    /// By SentencePiece's pieces.
    Pieces,
}

/// A tokenizer of the library.
#[derive(Debug)]
pub(super) struct Fast {
    pub tokenizer: Tokenizer,
    pub spelling: Spelling,
    /// The id of what the vocabulary lacks.
    pub unknown: Option<u32>,
}

impl Fast {
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(guarded(text, || self.tokenizer.encode_fast(text, false))?.get_ids().to_vec())
    }

    /// The words of a text of which something has no token.
    pub(super) fn unknown(&self, text: &str) -> Result<Vec<String>, Error> {
        let Some(unknown) = self.unknown else { return Ok(Vec::new()) };
        if !self.encode(text)?.contains(&unknown) {
            return Ok(Vec::new());
        }
        let encoding = guarded(text, || self.tokenizer.encode(text, false))?;
        let mut words: Vec<String> = Vec::new();
        for (_, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()).filter(|(id, _)| **id == unknown) {
            let (Some(before), Some(behind)) = (text.get(..start), text.get(end..)) else { continue };
            let start = before.rfind(char::is_whitespace).map_or(0, |at| at + width_at(text, at));
            let end = behind.find(char::is_whitespace).map_or(text.len(), |at| end + at);
            let word = text.get(start..end).unwrap_or_default().trim().to_string();
            // The token that stands for what is unknown may be written out.
            if !word.is_empty() && words.last() != Some(&word) && self.tokenizer.token_to_id(&word) != Some(unknown) {
                words.push(word);
            }
        }
        Ok(words)
    }

    /// The text of ids.
    pub(super) fn spelled(&self, ids: &[u32]) -> String {
        let tokens: Vec<String> = ids.iter().filter_map(|&id| self.tokenizer.id_to_token(id)).collect();
        match self.spelling {
            Spelling::BytePairs => byte_pair::spelled(tokens.iter().map(String::as_str)),
            Spelling::Pieces => plain_text(&tokens.concat()),
        }
    }
}

/// Bytes of the character at a place.
fn width_at(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

fn guarded(text: &str, encode: impl FnOnce() -> tokenizers::Result<tokenizers::Encoding>) -> Result<tokenizers::Encoding, Error> {
    let failed = |problem: String| Error::from(RequestError::Prompt { bytes: text.len(), problem });
    match crate::engine::guard::catch(encode) {
        Ok(Ok(encoding)) => Ok(encoding),
        Ok(Err(error)) => Err(failed(crate::error::one_line(&error.to_string()))),
        Err(_) => Err(failed("the library broke down".into())),
    }
}

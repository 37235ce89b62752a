//! `T5Tokenizer`: added tokens first, then SentencePiece.

use super::added::{AddedTokens, Part};
use super::config::{AddedToken, Config, check_added};
use super::sentencepiece::Model;
use super::unigram::{UNDERLINE, Unigram};

/// The slow tokenizer of T5.
#[derive(Debug)]
pub(super) struct T5 {
    added: AddedTokens,
    unigram: Unigram,
    is_legacy: bool,
    adds_prefix_space: bool,
    unknown: String,
}

impl T5 {
    /// The tokenizer and the ids of its end and padding tokens.
    pub(super) fn new(spiece: &[u8], config: &Config) -> Result<(Self, u32, u32), String> {
        let unigram = Unigram::new(Model::parse(spiece)?);
        let sentinels = sentinels(config, unigram.len())?;
        let mut added = config.added()?;
        added.extend(sentinels.into_iter().filter(|token| !added.iter().any(|known| known.id == token.id)).collect::<Vec<_>>());
        let name = |key: &str, default: &str| config.special(key).map(|token| token.unwrap_or(default).to_owned());
        let (end, unknown, pad) = (name("eos_token", "</s>")?, name("unk_token", "<unk>")?, name("pad_token", "<pad>")?);
        for token in [&end, &unknown, &pad] {
            if !added.iter().any(|known| known.content == *token) {
                if !unigram.has(token) {
                    return Err(format!("spiece.model lacks the token {token:?}"));
                }
                added.push(AddedToken::special(unigram.id(token), token));
            }
        }
        check_added(&added)?;
        let added = AddedTokens::new(&added);
        let id = |token: &str| added.id(token).unwrap_or_else(|| unigram.id(token));
        let (end, pad) = (id(&end), id(&pad));
        let is_legacy = config.flag("legacy")?.unwrap_or(true);
        let adds_prefix_space = config.adds_prefix_space()?;
        Ok((Self { added, unigram, is_legacy, adds_prefix_space, unknown }, end, pad))
    }

    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        if self.is_legacy || text.is_empty() {
            return self.pieces(text).iter().map(|piece| self.id(piece)).collect();
        }
        let mut text = text.replace(UNDERLINE, " ");
        if self.adds_prefix_space {
            text.insert(0, UNDERLINE);
        }
        let pieces = self.pieces(&text);
        let skipped = match pieces.as_slice() {
            [first, second, ..] if is_underline(first) && self.added.is_special(second) => 1,
            _ => 0,
        };
        pieces.iter().skip(skipped).map(|piece| self.id(piece)).collect()
    }

    /// The parts of a text that no piece stands for.
    pub(super) fn unknown(&self, text: &str) -> Vec<String> {
        let unknown = |piece: &String| self.added.id(piece).is_none() && !self.unigram.has(piece);
        self.pieces(text).into_iter().filter(unknown).map(|piece| plain_text(&piece)).collect()
    }

    /// The text of ids.
    pub(super) fn spelled(&self, ids: &[u32]) -> String {
        let text = |id: &u32| self.added.content(*id).or_else(|| self.unigram.text(*id)).unwrap_or_default();
        plain_text(&ids.iter().map(text).collect::<String>())
    }

    fn id(&self, piece: &str) -> u32 {
        self.added.id(piece).unwrap_or_else(|| self.unigram.id(piece))
    }

    fn pieces(&self, text: &str) -> Vec<String> {
        let mut pieces = Vec::new();
        for part in self.added.split(text) {
            match part {
                Part::Token(content) => pieces.push(content),
                Part::Text(text) => pieces.extend(self.text_pieces(&text)),
            }
        }
        pieces
    }

    /// Without the model's own prefix, a leading space survives only behind other text.
    fn text_pieces(&self, text: &str) -> Vec<String> {
        if self.is_legacy || !text.starts_with([UNDERLINE, ' ']) {
            return self.unigram.encode(text, self.is_legacy);
        }
        let mut pieces = self.unigram.encode(&format!("{}{text}", self.unknown), false);
        let prefix = self.unigram.encode(&self.unknown, false).len();
        if pieces.len() >= prefix {
            pieces.drain(..prefix);
        }
        pieces
    }
}

/// The text that pieces spell.
pub(super) fn plain_text(pieces: &str) -> String {
    pieces.replace(UNDERLINE, " ").trim().to_string()
}

fn is_underline(piece: &str) -> bool {
    piece.chars().eq([UNDERLINE])
}

/// `<extra_id_0>` and so on, whose ids run backwards from the end.
fn sentinels(config: &Config, pieces: usize) -> Result<Vec<AddedToken>, String> {
    let count = config.extra_ids()?;
    let listed = config.additional()?;
    let named = listed.map_or(0, |tokens| tokens.iter().filter(|token| token.contains("<extra_id_")).count());
    if named > 0 && count > 0 && named != count as usize {
        return Err(format!("extra_ids is {count} but additional_special_tokens names {named} of them"));
    }
    let base = u32::try_from(pieces).map_err(|_| "spiece.model has too many pieces".to_owned())?;
    let token = |index: u32| {
        let token = AddedToken::special(base + (count - 1 - index), &format!("<extra_id_{index}>"));
        AddedToken { lstrip: true, rstrip: true, ..token }
    };
    Ok((0..count).map(token).collect())
}

//! `CLIPTokenizer`: added tokens first, then repaired, lower-cased text in words, each word by byte pairs.

use regex::Regex;

use super::added::{AddedTokens, Part};
use super::byte_pair::{BytePairs, spelled};
use super::repair::{fix_text, is_space};
use super::vocabulary::{Special, Vocabulary};

/// The words of CLIP's `pat`: special tokens, contractions, letters, single digits, runs of anything else.
///
/// Ignoring case, Python's `regex` takes U+0345 for the letter iota where letters are excluded but not where they are wanted,
/// so that no word holds it.
const WORDS: &str = r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+";

/// Two words that are tokens by themselves wherever the text spells them.
const WHOLE: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

/// The slow tokenizer of CLIP, with ftfy.
#[derive(Debug)]
pub(super) struct Clip {
    added: AddedTokens,
    words: Regex,
    pairs: BytePairs,
    whole: [u32; 2],
    vocabulary: Vocabulary,
}

impl Clip {
    pub(super) fn new(vocabulary: Vocabulary, merges: &[(String, String)], special: &Special) -> Result<Self, String> {
        let added = AddedTokens::new(&special.added);
        let id = |token: &str| added.id(token).or_else(|| vocabulary.id(token)).unwrap_or(special.unknown);
        let whole = WHOLE.map(id);
        let words = Regex::new(WORDS).map_err(|error| crate::error::one_line(&error.to_string()))?;
        Ok(Self { words, pairs: BytePairs::new(&vocabulary, merges, special.unknown)?, whole, added, vocabulary })
    }

    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for part in self.added.split(text) {
            match part {
                Part::Token(token) => ids.extend(self.added.id(&token)),
                Part::Text(text) => self.encode_text(&text, &mut ids),
            }
        }
        ids
    }

    fn encode_text(&self, text: &str, ids: &mut Vec<u32>) {
        self.each_word(text, |word| match WHOLE.iter().position(|whole| *whole == word) {
            Some(whole) => ids.push(self.whole[whole]),
            None => self.pairs.encode(word, ids),
        });
    }

    fn each_word(&self, text: &str, mut see: impl FnMut(&str)) {
        let text = fix_text(text);
        self.words.find_iter(&text.trim_matches(is_space).to_lowercase()).for_each(|word| see(word.as_str()));
    }

    /// The words of a text that the vocabulary cannot spell.
    pub(super) fn unknown(&self, text: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for part in self.added.split(text) {
            if let Part::Text(text) = part {
                self.each_word(&text, |word| {
                    if !WHOLE.contains(&word) && !self.pairs.knows(word) {
                        unknown.push(word.to_string());
                    }
                });
            }
        }
        unknown
    }

    /// The text of ids.
    pub(super) fn spelled(&self, ids: &[u32]) -> String {
        let token = |id: &u32| self.added.content(*id).or_else(|| self.vocabulary.token(*id)).unwrap_or_default();
        spelled(ids.iter().map(token))
    }
}

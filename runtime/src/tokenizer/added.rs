//! Finds added tokens in a text, as the slow tokenizers of transformers do: the leftmost, of these the longest.

use std::collections::HashMap;

use super::config::AddedToken;
use super::repair::is_space;

/// The added tokens of a slow tokenizer.
#[derive(Debug)]
pub(super) struct AddedTokens {
    tokens: HashMap<String, AddedToken>,
    /// Contents by first character, longest first.
    by_first: HashMap<char, Vec<String>>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Token(String),
    Text(String),
}

impl AddedTokens {
    pub(super) fn new(tokens: &[AddedToken]) -> Self {
        let mut by_first: HashMap<char, Vec<String>> = HashMap::new();
        for token in tokens {
            if let Some(first) = token.content.chars().next() {
                by_first.entry(first).or_default().push(token.content.clone());
            }
        }
        by_first.values_mut().for_each(|contents| contents.sort_by_key(|content| std::cmp::Reverse(content.len())));
        Self { tokens: tokens.iter().map(|token| (token.content.clone(), token.clone())).collect(), by_first }
    }

    /// The id of a token.
    pub(super) fn id(&self, content: &str) -> Option<u32> {
        self.tokens.get(content).map(|token| token.id)
    }

    /// The token of an id.
    pub(super) fn content(&self, id: u32) -> Option<&str> {
        self.tokens.values().find(|token| token.id == id).map(|token| token.content.as_str())
    }

    /// Whether the text is a special token.
    pub(super) fn is_special(&self, content: &str) -> bool {
        self.tokens.get(content).is_some_and(|token| token.special)
    }

    /// Splits a text; no part is empty.
    pub(super) fn split(&self, text: &str) -> Vec<Part> {
        let mut parts = self.cut(text);
        for index in 0..parts.len() {
            let Some(token) = self.tokens.get(&parts[index]) else { continue };
            let has_left = index > 0 && !parts[index - 1].is_empty();
            let has_right = parts.get(index + 1).is_some_and(|right| !right.is_empty());
            // What the reference compares are the neighbours before either is stripped.
            let is_joined_left = has_left && !parts[index - 1].ends_with(' ');
            let is_joined_right = has_right && !parts[index + 1].starts_with(' ');
            if token.rstrip && has_right {
                parts[index + 1] = parts[index + 1].trim_start_matches(is_space).to_owned();
            }
            if token.lstrip && has_left {
                parts[index - 1] = parts[index - 1].trim_end_matches(is_space).to_owned();
            }
            if token.single_word && is_joined_left {
                parts[index - 1].push_str(&token.content);
                parts[index].clear();
            } else if token.single_word && is_joined_right {
                parts[index + 1].insert_str(0, &token.content);
                parts[index].clear();
            }
        }
        let part = |part: String| if self.tokens.contains_key(&part) { Part::Token(part) } else { Part::Text(part) };
        parts.into_iter().filter(|part| !part.is_empty()).map(part).collect()
    }

    fn cut(&self, text: &str) -> Vec<String> {
        let mut parts = Vec::new();
        let mut start = 0;
        let mut position = 0;
        while let Some(first) = text[position..].chars().next() {
            let candidates = self.by_first.get(&first).into_iter().flatten();
            match candidates.into_iter().find(|content| text[position..].starts_with(content.as_str())) {
                Some(content) => {
                    if start < position {
                        parts.push(text[start..position].to_owned());
                    }
                    parts.push(content.clone());
                    position += content.len();
                    start = position;
                }
                None => position += first.len_utf8(),
            }
        }
        if start < text.len() {
            parts.push(text[start..].to_owned());
        }
        parts
    }
}

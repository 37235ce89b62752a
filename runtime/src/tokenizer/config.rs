//! `tokenizer_config.json`: special tokens, added tokens, lengths and switches.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::class::{Class, MAX_LENGTH};
use crate::error::one_line;

/// Longest token, in bytes.
pub(super) const MAX_TOKEN: usize = 1024;

/// No vocabulary is larger.
pub(super) const MAX_TOKENS: usize = 1 << 20;

/// More added tokens than any tokenizer has.
const MAX_ADDED: usize = 1 << 14;

/// Longer prompts than any CLIP encoder reads.
const MAX_CLIP_LENGTH: u64 = 4096;

/// The parsed file.
pub(super) struct Config(Map<String, Value>);

/// A token that is found in the text before anything else is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub id: u32,
    pub content: String,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
    pub normalized: bool,
    pub special: bool,
}

impl AddedToken {
    /// Reads the fields of a token's object.
    pub(super) fn parse(id: u64, token: &Value) -> Result<Self, String> {
        let content =
            token.get("content").and_then(Value::as_str).ok_or_else(|| format!("the added token {id} has no content"))?;
        check_token(content)?;
        let id = u32::try_from(id).ok().filter(|&id| (id as usize) < MAX_TOKENS);
        let id = id.ok_or_else(|| format!("the added token {content:?} has an id of {MAX_TOKENS} or more"))?;
        let flag = |name: &str| match token.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(format!("{name} of the added token {content:?} is neither true nor false")),
        };
        Ok(Self {
            id,
            content: content.to_owned(),
            single_word: flag("single_word")?,
            lstrip: flag("lstrip")?,
            rstrip: flag("rstrip")?,
            normalized: flag("normalized")?,
            special: flag("special")?,
        })
    }

    /// A special token without switches.
    pub(super) fn special(id: u32, content: &str) -> Self {
        let content = content.to_owned();
        Self { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    }
}

/// Refuses tokens that are empty or too long.
pub(super) fn check_token(content: &str) -> Result<(), String> {
    match content.len() {
        0 => Err("a token is empty".into()),
        length if length > MAX_TOKEN => Err(format!("a token has {length} bytes; at most {MAX_TOKEN} are accepted")),
        _ => Ok(()),
    }
}

/// Refuses ids or contents that occur twice and too many tokens.
pub(super) fn check_added(tokens: &[AddedToken]) -> Result<(), String> {
    if tokens.len() > MAX_ADDED {
        return Err(format!("{} tokens are added; at most {MAX_ADDED} are accepted", tokens.len()));
    }
    let (mut ids, mut contents) = (HashSet::new(), HashSet::new());
    match tokens.iter().find(|token| !ids.insert(token.id) || !contents.insert(token.content.as_str())) {
        Some(token) => Err(format!("the added token {:?} or its id {} occurs twice", token.content, token.id)),
        None => Ok(()),
    }
}

impl Config {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let object = serde_json::from_slice(bytes);
        object.map(Self).map_err(|error| format!("tokenizer_config.json is no JSON object ({})", one_line(&error.to_string())))
    }

    /// `tokenizer_class`.
    pub(super) fn class(&self) -> Result<Class, String> {
        let name = self.0.get("tokenizer_class").and_then(Value::as_str);
        name.ok_or_else(|| "tokenizer_config.json lacks tokenizer_class".to_owned())?.parse()
    }

    /// A special token by its key, if there is one.
    pub(super) fn special(&self, key: &str) -> Result<Option<&str>, String> {
        let content = match self.0.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(content)) => content,
            Some(token) => match token.get("content") {
                Some(Value::String(content)) => content,
                _ => return Err(format!("{key} is no token")),
            },
        };
        check_token(content).map_err(|problem| format!("{key} is no token: {problem}"))?;
        Ok(Some(content))
    }

    /// A special token that the class cannot do without.
    pub(super) fn required(&self, key: &str) -> Result<&str, String> {
        self.special(key)?.ok_or_else(|| format!("tokenizer_config.json lacks {key}"))
    }

    /// `additional_special_tokens`; `None` if the key is absent.
    pub(super) fn additional(&self) -> Result<Option<Vec<&str>>, String> {
        let problem = || "additional_special_tokens is no list of tokens".to_owned();
        let tokens = match self.0.get("additional_special_tokens") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(tokens)) if tokens.len() <= MAX_ADDED => tokens,
            Some(_) => return Err(problem()),
        };
        tokens.iter().map(content).collect::<Option<_>>().map(Some).ok_or_else(problem)
    }

    /// `added_tokens_decoder` in the order of the ids.
    pub(super) fn added(&self) -> Result<Vec<AddedToken>, String> {
        let decoder = match self.0.get("added_tokens_decoder") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(decoder)) => decoder,
            Some(_) => return Err("added_tokens_decoder is no object".into()),
        };
        let parse = |(id, token): (&String, &Value)| {
            let number = id.parse().map_err(|_| format!("added_tokens_decoder has the key {id:?}, not an id"))?;
            AddedToken::parse(number, token)
        };
        let mut tokens = decoder.iter().map(parse).collect::<Result<Vec<_>, String>>()?;
        check_added(&tokens)?;
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }

    /// A switch that may be null.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(format!("{key} is neither true nor false")),
        }
    }

    /// `add_prefix_space` of T5: true if the key is absent, false if it is null.
    pub(super) fn adds_prefix_space(&self) -> Result<bool, String> {
        Ok(self.flag("add_prefix_space")?.unwrap_or(!self.0.contains_key("add_prefix_space")))
    }

    /// Whether `T5TokenizerFast` ignores `tokenizer.json`: it does when `add_prefix_space` is set.
    pub(super) fn needs_conversion(&self) -> Result<bool, String> {
        Ok(self.flag("add_prefix_space")?.is_some())
    }

    /// `extra_ids` of T5, 100 by default.
    pub(super) fn extra_ids(&self) -> Result<u32, String> {
        match self.0.get("extra_ids") {
            None => Ok(100),
            Some(count) => {
                let count = count.as_u64().filter(|&count| count <= MAX_ADDED as u64);
                count.map(|count| count as u32).ok_or_else(|| format!("extra_ids is not a number from 0 to {MAX_ADDED}"))
            }
        }
    }

    /// `model_max_length`, which CLIP needs.
    pub(super) fn exact_length(&self) -> Result<usize, String> {
        let length = self.0.get("model_max_length").and_then(Value::as_u64);
        let length = length.filter(|length| (2..=MAX_CLIP_LENGTH).contains(length));
        length.map(|length| length as usize).ok_or(format!("model_max_length is not a number from 2 to {MAX_CLIP_LENGTH}"))
    }

    /// `model_max_length`; absent and huge values mean that there is no limit.
    pub(super) fn length(&self) -> Result<usize, String> {
        match self.0.get("model_max_length") {
            None | Some(Value::Null) => Ok(MAX_LENGTH),
            Some(length) => match length.as_f64() {
                Some(length) if length >= MAX_LENGTH as f64 => Ok(MAX_LENGTH),
                Some(length) if length >= 2.0 && length.fract() == 0.0 => Ok(length as usize),
                _ => Err("model_max_length is not a number of 2 or more".into()),
            },
        }
    }
}

/// The content of a token that is given as a string or an object.
fn content(token: &Value) -> Option<&str> {
    let content = token.as_str().or_else(|| token.get("content")?.as_str())?;
    check_token(content).is_ok().then_some(content)
}

//! CLIP's `vocab.json` and `merges.txt`.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::config::{AddedToken, Config, MAX_TOKENS, check_added, check_token};
use crate::error::one_line;

/// `CLIPTokenizer` reads no more merges than this, whatever the file holds.
const MAX_MERGES: usize = 49_152 - 256 - 2;

/// Tokens and their ids, which are 0 to n - 1.
#[derive(Debug)]
pub(super) struct Vocabulary {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
}

/// The special tokens of a CLIP tokenizer.
pub(super) struct Special {
    pub begin: u32,
    pub end: u32,
    pub pad: u32,
    pub unknown: u32,
    pub unknown_token: String,
    /// In the order of the configuration.
    pub added: Vec<AddedToken>,
}

impl Vocabulary {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let damaged = |error: serde_json::Error| format!("vocab.json is not usable ({})", one_line(&error.to_string()));
        let entries = reader.deserialize_map(Entries).map_err(damaged)?;
        reader.end().map_err(damaged)?;
        let count = entries.len();
        let mut tokens: Vec<Option<String>> = vec![None; count];
        let mut ids = HashMap::with_capacity(count);
        for (token, id) in entries {
            let place = usize::try_from(id).ok().and_then(|id| tokens.get_mut(id));
            let Some(place) = place else {
                return Err(format!("vocab.json gives the token {token:?} the id {id} but has {count} tokens"));
            };
            if let Some(other) = place {
                return Err(format!("vocab.json gives the tokens {other:?} and {token:?} the same id {id}"));
            }
            *place = Some(token.clone());
            if ids.insert(token.clone(), id as u32).is_some() {
                return Err(format!("vocab.json has the token {token:?} twice"));
            }
        }
        Ok(Self { tokens: tokens.into_iter().flatten().collect(), ids })
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token of an id.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The tokens in the order of their ids.
    pub(super) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The special tokens that the configuration names, which must be tokens of the vocabulary or added ones.
    pub(super) fn special(&self, config: &Config) -> Result<Special, String> {
        let mut added = config.added()?;
        for token in &added {
            match self.id(&token.content) {
                Some(id) if id != token.id => {
                    let content = &token.content;
                    return Err(format!(
                        "the added token {content:?} has another id in vocab.json than in tokenizer_config.json"
                    ));
                }
                None if (token.id as usize) < self.tokens.len() => {
                    return Err(format!("the added token {:?} takes the id of another token of vocab.json", token.content));
                }
                _ => {}
            }
        }
        let keys = ["bos_token", "eos_token", "unk_token", "pad_token"];
        let mut names = keys.iter().map(|key| config.required(key)).collect::<Result<Vec<_>, _>>()?;
        let unknown_token = names[2].to_owned();
        names.extend(config.additional()?.unwrap_or_default());
        for name in &names {
            if !added.iter().any(|token| token.content == *name) {
                let id = self.id(name).ok_or_else(|| format!("vocab.json lacks the token {name:?}"))?;
                added.push(AddedToken { normalized: true, ..AddedToken::special(id, name) });
            }
        }
        check_added(&added)?;
        let id = |name: &str| {
            let token = added.iter().find(|token| token.content == name);
            token.map(|token| token.id).ok_or_else(|| format!("the token {name:?} has no id"))
        };
        let unknown = self.id(&unknown_token).ok_or_else(|| format!("vocab.json lacks the token {unknown_token:?}"))?;
        Ok(Special { begin: id(names[0])?, end: id(names[1])?, pad: id(names[3])?, unknown, unknown_token, added })
    }
}

/// The pairs of `merges.txt`, best first, each once; its first line is a comment.
pub(super) fn merges(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "merges.txt is not UTF-8 text".to_owned())?;
    let mut seen = HashSet::new();
    let mut pairs = Vec::new();
    for (number, line) in text.trim().lines().enumerate().skip(1).take(MAX_MERGES) {
        let mut parts = line.split_whitespace();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(left), Some(right), None) => {
                check_token(left).and_then(|()| check_token(right)).map_err(|problem| format!("merges.txt: {problem}"))?;
                if seen.insert((left, right)) {
                    pairs.push((left.to_owned(), right.to_owned()));
                }
            }
            _ => return Err(format!("line {} of merges.txt is not two tokens", number + 1)),
        }
    }
    Ok(pairs)
}

/// Collects an object's entries, which a map would silently merge.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, u64)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tokens and ids from 0 on")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((token, id)) = map.next_entry::<String, u64>()? {
            check_token(&token).map_err(serde::de::Error::custom)?;
            if entries.len() == MAX_TOKENS {
                return Err(serde::de::Error::custom(format!("it has more than {MAX_TOKENS} tokens")));
            }
            entries.push((token, id));
        }
        Ok(entries)
    }
}

//! What of a text does not reach the denoiser: the end of a long one, and words that a tokenizer has no token for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definition::Family;
use super::networks::Networks;
use super::text::tokens_read;
use crate::{Error, Tokenizer};

/// Words that are named.
const NAMED: usize = 8;

/// Longest text that is quoted, in characters.
const QUOTED: usize = 300;

/// Counts what the texts of one pipeline lose on the way, and says it once.
#[derive(Debug)]
pub struct Unread {
    readers: Vec<(&'static str, usize, Arc<Tokenizer>)>,
    texts: usize,
    /// By the number of tokens that are read.
    cuts: BTreeMap<usize, Cut>,
    unknown: BTreeMap<&'static str, Words>,
}

/// Texts that are longer than what is read of them.
#[derive(Debug)]
struct Cut {
    tokenizers: Vec<&'static str>,
    /// As many as the tokenizer that cuts most.
    texts: usize,
    /// The end of the first.
    example: String,
}

/// Words without a token.
#[derive(Debug, Default)]
struct Words {
    texts: usize,
    words: Vec<String>,
}

impl Unread {
    /// Opens the tokenizers of a pipeline.
    ///
    /// # Errors
    /// When one is missing or cannot be read.
    pub fn open(family: &dyn Family, networks: &dyn Networks) -> Result<Self, Error> {
        let mut readers = Vec::new();
        for reader in family.readers(networks)? {
            let tokenizer = networks.tokenizer(reader.tokenizer)?;
            readers.push((reader.tokenizer, tokens_read(reader, &tokenizer)?, tokenizer));
        }
        Ok(Self { readers, texts: 0, cuts: BTreeMap::new(), unknown: BTreeMap::new() })
    }

    /// Looks at a text.
    ///
    /// # Errors
    /// When it cannot be tokenized.
    pub fn look(&mut self, text: &str) -> Result<(), Error> {
        self.texts += 1;
        let mut cut = BTreeMap::new();
        for (name, length, tokenizer) in &self.readers {
            let loss = tokenizer.loss(text, *length)?;
            if let Some(end) = loss.cut {
                cut.entry(*length).or_insert((Vec::new(), end)).0.push(*name);
            }
            if !loss.unknown.is_empty() {
                let words = self.unknown.entry(name).or_default();
                words.texts += 1;
                for word in loss.unknown {
                    if words.words.len() < NAMED && !words.words.contains(&word) {
                        words.words.push(word);
                    }
                }
            }
        }
        for (length, (tokenizers, example)) in cut {
            let all = self.cuts.entry(length).or_insert(Cut { tokenizers: Vec::new(), texts: 0, example });
            all.texts += 1;
            all.tokenizers.extend(tokenizers.into_iter().filter(|name| !all.tokenizers.contains(name)).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// What was lost, a sentence each; none where nothing was.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let cuts = self.cuts.iter().map(|(length, cut)| {
            let (who, example) = (cut.tokenizers.join(" and "), quoted(&cut.example));
            let who = format!("{who} read{}", if cut.tokenizers.len() == 1 { "s" } else { "" });
            match self.texts {
                1 => format!("the prompt is longer than the {length} tokens that {who}, so this part was left out: {example}"),
                texts => format!(
                    "{} of {texts} prompts are longer than the {length} tokens that {who}; of the first, this part was left out: {example}",
                    cut.texts
                ),
            }
        });
        let unknown = self.unknown.iter().map(|(name, words)| {
            let listed = words.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
            let of = if self.texts == 1 { String::new() } else { format!(" ({} of {} prompts)", words.texts, self.texts) };
            format!("{name} has no token for {listed}{of}, so the pictures cannot show it")
        });
        cuts.chain(unknown).collect()
    }
}

/// In quotes, shortened, without characters that act on a terminal.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

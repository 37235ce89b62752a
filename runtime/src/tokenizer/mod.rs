//! Prompts to token ids, as the tokenizers of transformers that a pipeline's `model_index.json` names.
//!
//! | class | files | what it does |
//! |---|---|---|
//! | `CLIPTokenizer` | `vocab.json`, `merges.txt` | repairs the text as ftfy 6.3.1 does, byte-pair encoding |
//! | `CLIPTokenizerFast` | `vocab.json`, `merges.txt` | the `tokenizers` library, no repair |
//! | `T5Tokenizer` | `spiece.model` | SentencePiece's unigram model |
//! | `T5TokenizerFast` | `tokenizer.json`, else `spiece.model` | the `tokenizers` library |
//!
//! `tokenizer_config.json` belongs to all of them.

mod added;
mod base64;
mod byte_pair;
mod charsmap;
mod class;
mod clip;
mod clip_fast;
mod config;
mod fast;
mod repair;
mod sentencepiece;
mod t5;
mod t5_fast;
mod unigram;
mod vocabulary;

use std::path::Path;

use crate::Error;
use crate::error::RequestError;
use crate::files::read_bytes;
pub use class::{Class, MAX_LENGTH};
use config::Config;
use fast::Spelling;

/// Longest prompt, in bytes; encoders read a few hundred tokens of it.
pub const MAX_TEXT: usize = 1 << 19;

/// No file of a tokenizer is larger.
const MAX_FILE: usize = 64 << 20;

impl Class {
    /// The files that the class reads beside `tokenizer_config.json`.
    pub(crate) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Clip | Self::ClipFast => &["vocab.json", "merges.txt"],
            Self::T5 => &["spiece.model"],
            Self::T5Fast => &["tokenizer.json", "spiece.model"],
        }
    }
}

/// Whether short prompts are filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// To `max_length`, on the right.
    MaxLength,
    /// Not at all.
    None,
}

/// Token ids and which of them are not padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids {
    /// `input_ids`.
    pub ids: Vec<i64>,
    /// `attention_mask`: 1 for text and special tokens, 0 for padding.
    pub mask: Vec<i64>,
}

/// What of a text does not reach the encoder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loss {
    /// The end of it, where it is longer than the encoder reads, spelled as the tokens spell it.
    pub cut: Option<String>,
    /// Words for which there is no token, in order.
    pub unknown: Vec<String>,
}

/// The contents of a tokenizer's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// `tokenizer_config.json`.
    pub config: &'a [u8],
    /// `vocab.json`.
    pub vocab: Option<&'a [u8]>,
    /// `merges.txt`.
    pub merges: Option<&'a [u8]>,
    /// `spiece.model`.
    pub spiece: Option<&'a [u8]>,
    /// `tokenizer.json`.
    pub tokenizer: Option<&'a [u8]>,
}

/// Prompt text to token ids.
#[derive(Debug)]
pub struct Tokenizer {
    kind: Kind,
    begin: Option<u32>,
    end: u32,
    pad: u32,
    max_length: usize,
}

#[derive(Debug)]
enum Kind {
    Clip(Box<clip::Clip>),
    T5(Box<t5::T5>),
    Fast(Box<fast::Fast>),
}

impl Tokenizer {
    /// Reads the tokenizer in a folder; without a class, the one that `tokenizer_config.json` names.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Bundle`] for a missing or damaged file.
    pub fn open(folder: &Path, class: Option<Class>) -> Result<Self, Error> {
        let read = |name: &str| read_bytes(&folder.join(name), MAX_FILE);
        let config = read("tokenizer_config.json")?;
        let unusable = |problem: String| Error::bundle(folder, format!("holds no usable tokenizer: {problem}"));
        let class = match class {
            Some(class) => class,
            None => Config::parse(&config).and_then(|config| config.class()).map_err(unusable)?,
        };
        let mut contents: [Option<Vec<u8>>; 2] = [None, None];
        for (content, name) in contents.iter_mut().zip(class.files()) {
            if class == Class::T5Fast && !folder.join(name).is_file() {
                continue;
            }
            *content = Some(read(name)?);
        }
        let [first, second] = [contents[0].as_deref(), contents[1].as_deref()];
        let files = match class {
            Class::Clip | Class::ClipFast => Files { config: &config, vocab: first, merges: second, ..Files::default() },
            Class::T5 => Files { config: &config, spiece: first, ..Files::default() },
            Class::T5Fast => Files { config: &config, tokenizer: first, spiece: second, ..Files::default() },
        };
        Self::new(class, &files).map_err(unusable)
    }

    /// Reads the tokenizer in a folder, of the class that `model_index.json` names.
    ///
    /// # Errors
    /// As [`Tokenizer::open`], and [`Error::Bundle`] for a class that is not known.
    pub fn of_class(folder: &Path, class: &str) -> Result<Self, Error> {
        let class = class.parse().map_err(|problem: String| Error::bundle(folder, format!("cannot be read: {problem}")))?;
        Self::open(folder, Some(class))
    }

    /// Builds a tokenizer from the contents of its files.
    ///
    /// # Errors
    /// What is wrong, as a phrase.
    pub fn new(class: Class, files: &Files<'_>) -> Result<Self, String> {
        let config = Config::parse(files.config)?;
        match class {
            Class::Clip | Class::ClipFast => {
                let vocabulary = vocabulary::Vocabulary::parse(need(files.vocab, "vocab.json")?)?;
                let merges = vocabulary::merges(need(files.merges, "merges.txt")?)?;
                let special = vocabulary.special(&config)?;
                let kind = if class == Class::Clip {
                    Kind::Clip(Box::new(clip::Clip::new(vocabulary, &merges, &special)?))
                } else {
                    let tokenizer = clip_fast::build(&vocabulary, &merges, &special)?;
                    let unknown = Some(special.unknown);
                    Kind::Fast(Box::new(fast::Fast { tokenizer, spelling: Spelling::BytePairs, unknown }))
                };
                let [begin, end, pad] = [special.begin, special.end, special.pad];
                Ok(Self { kind, begin: Some(begin), end, pad, max_length: config.exact_length()? })
            }
            Class::T5 => {
                let (t5, end, pad) = t5::T5::new(need(files.spiece, "spiece.model")?, &config)?;
                Ok(Self { kind: Kind::T5(Box::new(t5)), begin: None, end, pad, max_length: config.length()? })
            }
            Class::T5Fast => {
                let (tokenizer, t5_fast::Ends { end, pad, unknown }) = match (files.tokenizer, files.spiece) {
                    (Some(tokenizer), _) if !config.needs_conversion()? => t5_fast::from_json(tokenizer, &config)?,
                    (_, Some(spiece)) => t5_fast::from_spiece(spiece, &config)?,
                    _ => {
                        return Err(
                            "spiece.model is missing, and tokenizer.json is too or add_prefix_space forbids to read it".into()
                        );
                    }
                };
                let kind = Kind::Fast(Box::new(fast::Fast { tokenizer, spelling: Spelling::Pieces, unknown }));
                Ok(Self { kind, begin: None, end, pad, max_length: config.length()? })
            }
        }
    }

    /// The length that the configuration names (`model_max_length`), at most [`MAX_LENGTH`].
    #[must_use]
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The ids of a prompt with its special tokens: cut on the right to `max_length`, then padded.
    ///
    /// # Errors
    /// [`Error::Request`] for a prompt longer than [`MAX_TEXT`], a `max_length` outside 2 to [`MAX_LENGTH`], or text that the
    /// library fails on.
    pub fn encode(&self, text: &str, max_length: usize, padding: Padding) -> Result<Ids, Error> {
        let found = self.found(text, max_length)?;
        let room = self.room(max_length);
        let mut ids: Vec<i64> = self.begin.into_iter().chain(found.into_iter().take(room)).map(i64::from).collect();
        let end = i64::from(self.end);
        // The slow T5 tokenizer adds no second end.
        if !matches!(self.kind, Kind::T5(_)) || ids.last() != Some(&end) {
            ids.push(end);
        }
        let mut mask = vec![1; ids.len()];
        if padding == Padding::MaxLength {
            ids.resize(max_length, i64::from(self.pad));
            mask.resize(max_length, 0);
        }
        Ok(Ids { ids, mask })
    }
}

impl Tokenizer {
    /// The ids of a text without special tokens, none cut off.
    fn found(&self, text: &str, max_length: usize) -> Result<Vec<u32>, Error> {
        if text.len() > MAX_TEXT {
            return Err(RequestError::LongPrompt { bytes: text.len(), most: MAX_TEXT }.into());
        }
        if !(2..=MAX_LENGTH).contains(&max_length) {
            return Err(RequestError::Length { length: max_length, most: MAX_LENGTH }.into());
        }
        match &self.kind {
            Kind::Clip(clip) => Ok(clip.encode(text)),
            Kind::T5(t5) => Ok(t5.encode(text)),
            Kind::Fast(fast) => fast.encode(text),
        }
    }

    /// Tokens of `max_length` that are left for text.
    fn room(&self, max_length: usize) -> usize {
        max_length - 1 - self.begin.iter().len()
    }

    /// What [`Tokenizer::encode`] loses of a text without a word.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn loss(&self, text: &str, max_length: usize) -> Result<Loss, Error> {
        let found = self.found(text, max_length)?;
        let cut = found.get(self.room(max_length)..).unwrap_or_default();
        let spelled = || match &self.kind {
            Kind::Clip(clip) => clip.spelled(cut),
            Kind::T5(t5) => t5.spelled(cut),
            Kind::Fast(fast) => fast.spelled(cut),
        };
        let unknown = match &self.kind {
            Kind::Clip(clip) => clip.unknown(text),
            Kind::T5(t5) => t5.unknown(text),
            Kind::Fast(fast) => fast.unknown(text)?,
        };
        Ok(Loss { cut: (!cut.is_empty()).then(spelled), unknown })
    }
}

fn need<'a>(file: Option<&'a [u8]>, name: &str) -> Result<&'a [u8], String> {
    file.ok_or_else(|| format!("{name} is missing"))
}

//! The tokenizer of CLIP from `vocab.json` and `merges.txt`, as `CLIPTokenizerFast` of transformers builds it.

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::error::one_line;
use crate::{Bundle, Error};

/// The words of CLIP's `pat`: contractions, letters, single digits, runs of anything else.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Longer prompts than any encoder reads are refused here.
const MAX_LENGTH: u64 = 4096;

/// Prompt text to token ids of fixed length.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    begin: i64,
    end: i64,
    pad: i64,
    max_length: usize,
}

impl ClipTokenizer {
    /// Reads the tokenizer in `folder` of a bundle.
    ///
    /// # Errors
    /// [`Error::Bundle`] for a missing or damaged file or a special token without an id.
    pub fn open(bundle: &Bundle, folder: &str) -> Result<Self, Error> {
        let merges = bundle.file(&format!("{folder}/merges.txt"))?;
        Self::new(
            &bundle.json(&format!("{folder}/vocab.json"))?,
            &crate::bundle::read_text(&merges, 64 << 20)?,
            &bundle.json(&format!("{folder}/tokenizer_config.json"))?,
        )
        .map_err(|problem| Error::bundle(merges.with_file_name(""), format!("holds no usable CLIP tokenizer: {problem}")))
    }

    /// Builds a tokenizer from the contents of `vocab.json`, `merges.txt` and `tokenizer_config.json`.
    ///
    /// # Errors
    /// What is wrong, as a phrase.
    pub fn new(vocab: &Value, merges: &str, config: &Value) -> Result<Self, String> {
        let special = |name: &str| -> Result<&str, String> {
            let token = config.get(name).ok_or(format!("tokenizer_config.json lacks {name}"))?;
            token.as_str().or_else(|| token.get("content")?.as_str()).ok_or(format!("{name} is no token"))
        };
        let (begin, end, pad, unknown) =
            (special("bos_token")?, special("eos_token")?, special("pad_token")?, special("unk_token")?);
        let max_length = config
            .get("model_max_length")
            .and_then(Value::as_u64)
            .filter(|length| (2..=MAX_LENGTH).contains(length))
            .ok_or(format!("model_max_length is not a number from 2 to {MAX_LENGTH}"))?;
        let added = added_tokens(vocab, config, &[begin, end, pad, unknown])?;
        let whole = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": true},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            ]},
            "post_processor": null, "decoder": null,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": "",
                "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": merge_pairs(merges)?,
            },
        });
        let tokenizer: Tokenizer = whole.to_string().parse().map_err(|e: tokenizers::Error| one_line(&e.to_string()))?;
        let id = |token: &str| tokenizer.token_to_id(token).map(i64::from).ok_or(format!("the token {token:?} has no id"));
        // The library numbers an added token that vocab.json lacks by itself.
        for token in &added {
            let content = token["content"].as_str().unwrap_or_default();
            if Some(id(content)?) != token["id"].as_i64() {
                return Err(format!("the added token {content:?} has another id in vocab.json than in tokenizer_config.json"));
            }
        }
        Ok(Self { begin: id(begin)?, end: id(end)?, pad: id(pad)?, max_length: max_length as usize, tokenizer })
    }

    /// The length of every encoded prompt.
    #[must_use]
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The ids of a prompt: begin, the text cut to fit, end, padding; [`max_length`](Self::max_length) of them.
    ///
    /// # Errors
    /// [`Error::Request`] if the text cannot be tokenized.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, Error> {
        let encoding = self
            .tokenizer
            .encode(text.trim(), false)
            .map_err(|e| Error::Request(format!("the prompt {text:?} cannot be tokenized ({})", one_line(&e.to_string()))))?;
        let mut ids = Vec::with_capacity(self.max_length);
        ids.push(self.begin);
        ids.extend(encoding.get_ids().iter().take(self.max_length - 2).map(|&id| i64::from(id)));
        ids.push(self.end);
        ids.resize(self.max_length, self.pad);
        Ok(ids)
    }
}

/// The special tokens in the form of `tokenizer.json`: those of `added_tokens_decoder`, in the order of their ids, and
/// those of `names` that it leaves out.
fn added_tokens(vocab: &Value, config: &Value, names: &[&str]) -> Result<Vec<Value>, String> {
    let mut tokens: Vec<(u64, Value)> = Vec::new();
    if let Some(decoder) = config.get("added_tokens_decoder").and_then(Value::as_object) {
        for (id, token) in decoder {
            let id: u64 = id.parse().map_err(|_| format!("added_tokens_decoder has the key {id:?}, not an id"))?;
            let content = token.get("content").and_then(Value::as_str).ok_or(format!("added token {id} has no content"))?;
            let flag = |name: &str| token.get(name).and_then(Value::as_bool).unwrap_or(false);
            let entry = json!({
                "id": id, "content": content, "single_word": flag("single_word"), "lstrip": flag("lstrip"),
                "rstrip": flag("rstrip"), "normalized": flag("normalized"), "special": flag("special"),
            });
            tokens.push((id, entry));
        }
    }
    for name in names {
        if tokens.iter().any(|(_, token)| token["content"] == *name) {
            continue;
        }
        let id = vocab.get(name).and_then(Value::as_u64).ok_or(format!("vocab.json lacks the token {name:?}"))?;
        let entry = json!({
            "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": true,
        });
        tokens.push((id, entry));
    }
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

fn merge_pairs(merges: &str) -> Result<Vec<[&str; 2]>, String> {
    let lines =
        merges.lines().enumerate().filter(|(number, line)| !(line.is_empty() || *number == 0 && line.starts_with("#version")));
    lines
        .map(|(number, line)| match line.split_once(' ') {
            Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => Ok([left, right]),
            _ => Err(format!("line {} of merges.txt is not two tokens", number + 1)),
        })
        .collect()
}

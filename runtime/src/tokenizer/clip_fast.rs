//! `CLIPTokenizerFast` from `vocab.json` and `merges.txt`, as transformers converts it for the `tokenizers` library.

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::config::AddedToken;
use super::vocabulary::{Special, Vocabulary};
use crate::error::one_line;

/// The words of CLIP's `pat`: contractions, letters, single digits, runs of anything else.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Builds the tokenizer; it adds no special tokens by itself.
pub(super) fn build(vocabulary: &Vocabulary, merges: &[(String, String)], special: &Special) -> Result<Tokenizer, String> {
    let vocab: Map<String, Value> = vocabulary.tokens().iter().zip(0..).map(|(token, id)| (token.clone(), id.into())).collect();
    let whole = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added_tokens(&special.added),
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
            "type": "BPE", "dropout": null, "unk_token": special.unknown_token, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    load(whole, &special.added)
}

/// The tokens in the form of `tokenizer.json`.
pub(super) fn added_tokens(tokens: &[AddedToken]) -> Value {
    let token = |token: &AddedToken| {
        json!({
            "id": token.id, "content": token.content, "single_word": token.single_word, "lstrip": token.lstrip,
            "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special,
        })
    };
    tokens.iter().map(token).collect()
}

/// Lets the library read a whole `tokenizer.json` and checks that it gave the added tokens their ids.
pub(super) fn load(whole: Value, added: &[AddedToken]) -> Result<Tokenizer, String> {
    let loaded = crate::engine::guard::catch(|| serde_json::from_value::<Tokenizer>(whole));
    let tokenizer = loaded.map_err(|_| "the tokenizers library broke down while reading it".to_owned())?;
    let tokenizer = tokenizer.map_err(|error| one_line(&error.to_string()))?;
    check_ids(&tokenizer, added)?;
    Ok(tokenizer)
}

/// The library numbers an added token that the vocabulary lacks by itself.
pub(super) fn check_ids(tokenizer: &Tokenizer, added: &[AddedToken]) -> Result<(), String> {
    match added.iter().find(|token| tokenizer.token_to_id(&token.content) != Some(token.id)) {
        Some(token) => Err(format!("the added token {:?} has another id in the vocabulary than {}", token.content, token.id)),
        None => Ok(()),
    }
}

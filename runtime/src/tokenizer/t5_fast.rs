//! `T5TokenizerFast`: from `tokenizer.json`, or converted from `spiece.model` as transformers does.

use serde_json::{Value, json};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Precompiled, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{NormalizerWrapper, Tokenizer};

use super::base64;
use super::charsmap::Charsmap;
use super::clip_fast::{added_tokens, check_ids, load};
use super::config::{AddedToken, Config, MAX_TOKENS, check_added, check_token};
use super::sentencepiece::{Kind, Model};
use super::unigram::UNDERLINE;
use crate::error::one_line;

/// Runs of spaces, which become one underline.
const SPACES: &str = " {2,}";

/// No sequence of normalizers is longer.
const MAX_STEPS: usize = 16;

/// The ids of the special tokens; nothing is unknown to a tokenizer without a token for that.
pub(super) struct Ends {
    pub end: u32,
    pub pad: u32,
    pub unknown: Option<u32>,
}

/// The special tokens of T5.
struct Names {
    end: String,
    unknown: String,
    pad: String,
}

impl Names {
    fn of(config: &Config) -> Result<Self, String> {
        let name = |key: &str, default: &str| config.special(key).map(|token| token.unwrap_or(default).to_owned());
        Ok(Self { end: name("eos_token", "</s>")?, unknown: name("unk_token", "<unk>")?, pad: name("pad_token", "<pad>")? })
    }
}

/// Reads `tokenizer.json`, of which only what T5 uses is accepted; also the ids of the special tokens.
pub(super) fn from_json(bytes: &[u8], config: &Config) -> Result<(Tokenizer, Ends), String> {
    let whole: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("tokenizer.json is not JSON ({})", one_line(&error.to_string())))?;
    let names = Names::of(config)?;
    let part = |key: &str| whole.get(key).unwrap_or(&Value::Null);
    let problem = |problem: String| format!("tokenizer.json: {problem}");
    check_model(part("model")).map_err(problem)?;
    check_normalizer(part("normalizer"), MAX_STEPS).map_err(problem)?;
    check_pre_tokenizer(part("pre_tokenizer"), MAX_STEPS).map_err(problem)?;
    check_post_processor(part("post_processor"), &names.end).map_err(problem)?;
    let mut added = Vec::new();
    for token in part("added_tokens").as_array().map(Vec::as_slice).unwrap_or_default() {
        let id = token.get("id").and_then(Value::as_u64).ok_or_else(|| problem("an added token has no id".into()))?;
        added.push(AddedToken::parse(id, token).map_err(problem)?);
    }
    // The configuration's tokens come on top; where both name one, the library keeps the first.
    for token in config.added()? {
        if !added.iter().any(|known| known.content == token.content) {
            added.push(token);
        }
    }
    check_added(&added)?;
    let tokenizer = load(
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added_tokens(&added),
            "normalizer": part("normalizer"), "pre_tokenizer": part("pre_tokenizer"),
            "post_processor": null, "decoder": null, "model": part("model"),
        }),
        &added,
    )?;
    finish(tokenizer, &names)
}

/// Converts `spiece.model`.
pub(super) fn from_spiece(bytes: &[u8], config: &Config) -> Result<(Tokenizer, Ends), String> {
    let model = Model::parse(bytes)?;
    let names = Names::of(config)?;
    let mut vocab: Vec<(String, f64)> = model.pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score))).collect();
    vocab.extend((0..config.extra_ids()?).rev().map(|index| (format!("<extra_id_{index}>"), 0.0)));
    let mut added: Vec<AddedToken> = (0..)
        .zip(&model.pieces)
        .filter(|(_, piece)| matches!(piece.kind, Kind::Control | Kind::UserDefined))
        .map(|(id, piece)| AddedToken { special: piece.kind == Kind::Control, ..AddedToken::special(id, &piece.text) })
        .collect();
    let known = |added: &[AddedToken], content: &str| added.iter().any(|token| token.content == content);
    for token in config.added()? {
        if !known(&added, &token.content) {
            added.push(token);
        }
    }
    let sentinels: Vec<String> = (0..config.extra_ids()?).map(|index| format!("<extra_id_{index}>")).collect();
    let [end, unknown, pad] = [&names.end, &names.unknown, &names.pad];
    for content in [end, unknown, pad].into_iter().chain(&sentinels) {
        if !known(&added, content) {
            let id = vocab.iter().position(|(token, _)| token == content);
            let id =
                id.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| format!("spiece.model lacks the token {content:?}"))?;
            added.push(AddedToken::special(id, content));
        }
    }
    check_added(&added)?;
    let failed = |error: tokenizers::Error| one_line(&error.to_string());
    let unigram = Unigram::from(vocab, Some(model.unknown as usize), false).map_err(failed)?;
    let mut tokenizer = Tokenizer::new(unigram);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if let Some((bytes, _)) = &model.charsmap {
        steps.push(Precompiled::from(bytes).map_err(|error| one_line(&error.to_string()))?.into());
    }
    steps.push(Strip::new(false, true).into());
    steps.push(Replace::new(ReplacePattern::Regex(SPACES.into()), UNDERLINE.to_string()).map_err(failed)?.into());
    let scheme = match (config.adds_prefix_space()?, config.flag("legacy")?.unwrap_or(true)) {
        (false, _) => PrependScheme::Never,
        (true, true) => PrependScheme::Always,
        (true, false) => PrependScheme::First,
    };
    tokenizer.with_normalizer(Some(Sequence::new(steps)));
    tokenizer.with_pre_tokenizer(Some(Metaspace::new(UNDERLINE, scheme, true)));
    let token = |token: &AddedToken| {
        tokenizers::AddedToken::from(token.content.clone(), token.special)
            .single_word(token.single_word)
            .lstrip(token.lstrip)
            .rstrip(token.rstrip)
            .normalized(token.normalized)
    };
    tokenizer.add_tokens(&added.iter().map(token).collect::<Vec<_>>());
    check_ids(&tokenizer, &added)?;
    finish(tokenizer, &names)
}

fn finish(tokenizer: Tokenizer, names: &Names) -> Result<(Tokenizer, Ends), String> {
    let id = |token: &str| tokenizer.token_to_id(token).ok_or_else(|| format!("the token {token:?} has no id"));
    let ends = Ends { end: id(&names.end)?, pad: id(&names.pad)?, unknown: tokenizer.token_to_id(&names.unknown) };
    Ok((tokenizer, ends))
}

fn kind(component: &Value) -> &str {
    component.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn check_model(model: &Value) -> Result<(), String> {
    if kind(model) != "Unigram" {
        return Err(format!("its model is of type {:?}; only Unigram is supported", kind(model)));
    }
    if !matches!(model.get("byte_fallback"), None | Some(Value::Null | Value::Bool(false))) {
        return Err("its model has byte_fallback; only false is supported".into());
    }
    let vocab = model.get("vocab").and_then(Value::as_array).filter(|vocab| vocab.len() <= MAX_TOKENS);
    let vocab = vocab.ok_or_else(|| format!("its model has no vocab of at most {MAX_TOKENS} tokens"))?;
    let mut seen = std::collections::HashSet::new();
    for (id, entry) in vocab.iter().enumerate() {
        let entry = entry.as_array().map(Vec::as_slice).unwrap_or_default();
        let [Value::String(token), score] = entry else {
            return Err(format!("token {id} of its vocab is not a token and a score"));
        };
        check_token(token).map_err(|problem| format!("token {id} of its vocab: {problem}"))?;
        if !score.as_f64().is_some_and(f64::is_finite) {
            return Err(format!("the score of the token {token:?} is not a finite number"));
        }
        if !seen.insert(token) {
            return Err(format!("the token {token:?} occurs twice"));
        }
    }
    match model.get("unk_id").and_then(Value::as_u64) {
        Some(id) if id < vocab.len() as u64 => Ok(()),
        _ => Err(format!("its model's unk_id is not one of its {} tokens", vocab.len())),
    }
}

fn check_normalizer(normalizer: &Value, budget: usize) -> Result<(), String> {
    let is_flag = |key: &str| normalizer.get(key).is_some_and(Value::is_boolean);
    match kind(normalizer) {
        "Sequence" => check_all(normalizer, "normalizers", budget, check_normalizer),
        "Precompiled" => {
            let map = normalizer.get("precompiled_charsmap").and_then(Value::as_str).and_then(base64::decode);
            Charsmap::parse(&map.ok_or("its precompiled_charsmap is not base64")?).map(drop)
        }
        "Strip" if is_flag("strip_left") && is_flag("strip_right") => Ok(()),
        "Replace" => {
            let pattern = normalizer.get("pattern");
            let is_known = pattern.is_some_and(|pattern| pattern.get("Regex").and_then(Value::as_str) == Some(SPACES));
            let content = normalizer.get("content").and_then(Value::as_str);
            if is_known && content.is_some_and(|content| content.len() <= UNDERLINE.len_utf8()) {
                Ok(())
            } else {
                Err(format!("it has a Replace normalizer; only the one of {SPACES:?} by a space or {UNDERLINE} is supported"))
            }
        }
        other => Err(format!("it has the normalizer {other:?}; Sequence, Precompiled, Strip and Replace are supported")),
    }
}

fn check_pre_tokenizer(pre_tokenizer: &Value, budget: usize) -> Result<(), String> {
    match kind(pre_tokenizer) {
        "Sequence" => check_all(pre_tokenizer, "pretokenizers", budget, check_pre_tokenizer),
        "WhitespaceSplit" => Ok(()),
        "Metaspace" if pre_tokenizer.get("replacement").and_then(Value::as_str) == Some("▁") => Ok(()),
        other => Err(format!("it has the pre-tokenizer {other:?}; Sequence, WhitespaceSplit and Metaspace with ▁ are supported")),
    }
}

fn check_all(
    sequence: &Value,
    key: &str,
    budget: usize,
    check: impl Fn(&Value, usize) -> Result<(), String>,
) -> Result<(), String> {
    let parts = sequence.get(key).and_then(Value::as_array).ok_or_else(|| format!("it has a Sequence without {key}"))?;
    if parts.len() >= budget {
        return Err(format!("it has more than {MAX_STEPS} {key}"));
    }
    parts.iter().try_for_each(|part| check(part, budget - parts.len()))
}

/// The end is appended here and not by the library, so it must be what the file asks for.
fn check_post_processor(processor: &Value, end: &str) -> Result<(), String> {
    let expected = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}]);
    if kind(processor) == "TemplateProcessing" && processor.get("single") == Some(&expected) {
        return Ok(());
    }
    Err(format!("its post-processor is not the TemplateProcessing that appends {end}"))
}

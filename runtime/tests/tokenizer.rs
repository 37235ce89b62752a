//! The ids equal those of transformers.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use dmdx_runtime::pipeline::tokenizer::ClipTokenizer;
use serde_json::{Value, json};

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn parts(folder: &Path) -> (Value, String, Value) {
    let merges = std::fs::read_to_string(folder.join("merges.txt")).unwrap();
    (json(&folder.join("vocab.json")), merges, json(&folder.join("tokenizer_config.json")))
}

fn assert_equal_to_transformers(folder: &Path, expected: &Path) {
    let (vocab, merges, config) = parts(folder);
    let tokenizer = ClipTokenizer::new(&vocab, &merges, &config).unwrap();
    let rows = json(expected);
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 12);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let want: Vec<i64> = row["input_ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
        assert_eq!(tokenizer.encode(text).unwrap(), want, "{text:?}");
        assert_eq!(want.len(), tokenizer.max_length());
    }
}

#[test]
fn ids_of_the_first_tokenizer_of_sdxl() {
    let folder = common::fixture("clip-tokenizers/tokenizer");
    assert_equal_to_transformers(&folder, &folder.join("ids.json"));
}

#[test]
fn ids_of_the_second_tokenizer_of_sdxl_which_pads_with_another_token() {
    let folder = common::fixture("clip-tokenizers/tokenizer_2");
    assert_equal_to_transformers(&folder, &folder.join("ids.json"));
}

#[test]
fn ids_of_the_digits_tokenizer_with_unknown_letters() {
    let folder = common::fixture("tiny-bundle/bundle/tokenizer");
    assert_equal_to_transformers(&folder, &common::fixture("clip-tokenizers/digits_ids.json"));
}

#[test]
fn damaged_files_are_phrases() {
    let (vocab, merges, config) = parts(&common::fixture("clip-tokenizers/tokenizer"));
    assert!(ClipTokenizer::new(&vocab, &merges, &config).is_ok());
    let mut without_pad = config.clone();
    without_pad.as_object_mut().unwrap().remove("pad_token");
    let mut endless = config.clone();
    endless["model_max_length"] = json!(1e30);
    let mut negative = config.clone();
    negative["added_tokens_decoder"] = json!({"-1": {"content": "x"}});
    let cases = [
        (&vocab, merges.as_str(), without_pad),
        (&vocab, merges.as_str(), endless),
        (&vocab, merges.as_str(), negative),
        (&vocab, "#version: 0.2\none two three\n", config.clone()),
        (&vocab, "#version: 0.2\nnot-a-token neither\n", config.clone()),
        (&json!([]), merges.as_str(), config.clone()),
        (&json!({"a": -1}), merges.as_str(), config.clone()),
        (&json!({}), "", config),
    ];
    for (vocab, merges, config) in cases {
        let problem = ClipTokenizer::new(vocab, merges, &config).map(|_| ()).unwrap_err();
        assert!(!problem.is_empty() && problem.lines().count() == 1, "{problem}");
    }
}

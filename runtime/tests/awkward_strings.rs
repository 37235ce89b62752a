//! A thousand awkward strings get the ids that transformers gives them.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use dmdx_graph::store::hash;
use dmdx_runtime::Tokenizer;
use dmdx_runtime::tokenizer::{Class, Files, MAX_LENGTH, Padding};

const LENGTH: usize = 77;

fn strings() -> Vec<String> {
    let path = common::fixture("awkward-strings/strings.json");
    let strings: Vec<String> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(strings.len(), 1000);
    strings
}

/// One line per string: the number of ids, a digest of them, and one of the ids that stay where 77 cuts them.
fn assert_equal(tokenizer: &Tokenizer, expected: &str, pad: i64) {
    let expected = std::fs::read_to_string(common::fixture(&format!("awkward-strings/{expected}.txt"))).unwrap();
    let mut unequal = Vec::new();
    for (text, line) in strings().iter().zip(expected.lines()) {
        let whole = tokenizer.encode(text, MAX_LENGTH, Padding::None).unwrap();
        let cut = tokenizer.encode(text, LENGTH, Padding::None).unwrap();
        let mut got = format!("{} {}", whole.ids.len(), digest(&whole.ids));
        if whole.ids.len() > LENGTH {
            got = format!("{got} {}", digest(&cut.ids));
        } else {
            assert_eq!(cut.ids, whole.ids);
        }
        if got != line {
            let start: String = text.chars().take(80).collect();
            unequal.push(format!("{start:?}\n  want {line}\n  got  {got}: {:?}", cut.ids));
        }
        let padded = tokenizer.encode(text, LENGTH, Padding::MaxLength).unwrap();
        let mut ids = cut.ids.clone();
        ids.resize(LENGTH, pad);
        assert_eq!(padded.ids, ids);
        assert_eq!((padded.mask.len(), padded.mask.iter().sum::<i64>()), (LENGTH, cut.ids.len() as i64));
        assert_eq!(cut.mask, vec![1; cut.ids.len()]);
    }
    assert!(unequal.is_empty(), "{} strings differ:\n{}", unequal.len(), unequal.join("\n"));
}

fn clip(folder: &str, class: Class) -> Tokenizer {
    Tokenizer::open(&common::fixture(&format!("clip-tokenizers/{folder}")), Some(class)).unwrap()
}

#[test]
fn clip_tokenizer_with_ftfy() {
    assert_equal(&clip("tokenizer", Class::Clip), "clip_slow", 699);
}

#[test]
fn second_clip_tokenizer_with_ftfy() {
    assert_equal(&clip("tokenizer_2", Class::Clip), "clip_slow_2", 0);
}

#[test]
fn clip_tokenizer_fast() {
    assert_equal(&clip("tokenizer", Class::ClipFast), "clip_fast", 699);
}

#[test]
fn second_clip_tokenizer_fast() {
    assert_equal(&clip("tokenizer_2", Class::ClipFast), "clip_fast_2", 0);
}

#[test]
fn t5_tokenizer() {
    assert_equal(&Tokenizer::open(&common::fixture("t5-tokenizer"), None).unwrap(), "t5_slow", 0);
}

#[test]
fn t5_tokenizer_fast() {
    assert_equal(&Tokenizer::open(&common::fixture("t5-tokenizer"), Some(Class::T5Fast)).unwrap(), "t5_fast", 0);
}

/// Without `tokenizer.json` and with other switches in the configuration.
fn converted(class: Class, legacy: bool) -> Tokenizer {
    let folder = common::fixture("t5-tokenizer");
    let read = |name: &str| std::fs::read(Path::new(&folder).join(name)).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&read("tokenizer_config.json")).unwrap();
    config.as_object_mut().unwrap().shift_remove("add_prefix_space");
    config["legacy"] = legacy.into();
    let (config, spiece) = (config.to_string(), read("spiece.model"));
    Tokenizer::new(class, &Files { config: config.as_bytes(), spiece: Some(&spiece), ..Files::default() }).unwrap()
}

#[test]
fn t5_tokenizer_fast_from_spiece_model() {
    assert_equal(&converted(Class::T5Fast, true), "t5_fast_converted", 0);
}

#[test]
fn t5_tokenizer_that_is_not_legacy() {
    assert_equal(&converted(Class::T5, false), "t5_slow_new", 0);
}

fn digest(ids: &[i64]) -> String {
    let spaced = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    hash::bytes(spaced.as_bytes())[..16].to_string()
}

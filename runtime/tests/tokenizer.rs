//! The ids equal those of transformers; damaged files are refused in a sentence; any text encodes.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use dmdx_runtime::Tokenizer;
use dmdx_runtime::tokenizer::{Class, Files, MAX_LENGTH, MAX_TEXT, Padding};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The contents of a CLIP tokenizer's files.
struct Parts {
    config: Value,
    vocab: String,
    merges: Vec<u8>,
}

impl Parts {
    fn of(folder: &str) -> Self {
        let folder = common::fixture(folder);
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        Self {
            config: serde_json::from_slice(&read("tokenizer_config.json")).unwrap(),
            vocab: String::from_utf8(read("vocab.json")).unwrap(),
            merges: read("merges.txt"),
        }
    }

    fn build(&self, class: Class) -> Result<Tokenizer, String> {
        let config = self.config.to_string();
        let (config, vocab, merges) = (config.as_bytes(), Some(self.vocab.as_bytes()), Some(self.merges.as_slice()));
        Tokenizer::new(class, &Files { config, vocab, merges, ..Files::default() })
    }
}

fn assert_equal_to_transformers(folder: &str, expected: &Path) {
    let tokenizer = Tokenizer::open(&common::fixture(folder), None).unwrap();
    let rows: Value = serde_json::from_str(&std::fs::read_to_string(expected).unwrap()).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 12);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let want: Vec<i64> = row["input_ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
        assert_eq!(want.len(), tokenizer.max_length());
        assert_eq!(tokenizer.encode(text, tokenizer.max_length(), Padding::MaxLength).unwrap().ids, want, "{text:?}");
    }
}

/// What diffusers 0.36 says that it cuts: `batch_decode(untruncated_ids[:, length - 1 : -1])` of transformers 4.57.3, the same
/// by the slow and the fast class.
#[test]
fn the_part_that_is_cut_is_the_one_that_diffusers_names() {
    let numbers: Vec<String> = (0..14).map(|i| format!("a photo of the lazy dog, number {i}")).collect();
    let text = format!("{} riding a Horse", numbers.join(" "));
    let spaced = |i: u32| i.to_string().chars().map(String::from).collect::<Vec<_>>().join(" ");
    let rest: Vec<String> = (6..14).map(|i| format!(" a photo of the lazy dog , number {}", spaced(i))).collect();
    let wanted = format!("ber 5{} riding a horse", rest.concat());
    let parts = Parts::of("pipelines/sdxl/tokenizer");
    for class in [Class::Clip, Class::ClipFast] {
        let tokenizer = parts.build(class).unwrap();
        let loss = tokenizer.loss(&text, 77).unwrap();
        assert_eq!((loss.cut.as_deref(), loss.unknown.len()), (Some(wanted.as_str()), 0), "{class:?}");
        assert_eq!(tokenizer.loss(&text, 191).unwrap().cut, None, "191 tokens");
        assert_eq!(tokenizer.loss(&text, 190).unwrap().cut.as_deref(), Some("horse"));
        assert_eq!(tokenizer.loss("", 77).unwrap(), Default::default());
    }
    let digits = Parts::of("digits-sdxl/tokenizer").build(Class::Clip).unwrap();
    let loss = digits.loss("a red seven and a blue four and a green nine beside a yellow zero", 16).unwrap();
    assert_eq!(loss.cut.as_deref(), Some("nine beside a yellow zero"));
}

/// transformers gives `<|endoftext|>` for k and 7 and `<unk>` for the Chinese characters.
#[test]
fn words_without_a_token_are_named() {
    let parts = Parts::of("digits-sdxl/tokenizer");
    for class in [Class::Clip, Class::ClipFast] {
        let loss = parts.build(class).unwrap().loss("a kiwi four 7", 16).unwrap();
        assert_eq!(loss.unknown, ["kiwi", "7"], "{class:?}");
        assert_eq!(parts.build(class).unwrap().loss("a zorgle four <|endoftext|>", 16).unwrap().unknown, [""; 0], "{class:?}");
    }
    let t5 = Tokenizer::open(&common::fixture("pipelines/sd3/tokenizer_3"), Some(Class::T5Fast)).unwrap();
    assert_eq!(t5.loss("a photo of 猫猫 and x", 256).unwrap().unknown, ["猫猫"]);
    assert_eq!(t5.loss("a photo of an astronaut", 256).unwrap(), Default::default());
    let slow = Tokenizer::open(&common::fixture("t5-tokenizer"), Some(Class::T5)).unwrap();
    let loss = slow.loss("a photo of 猫 and x", 4).unwrap();
    assert_eq!((loss.unknown.as_slice(), loss.cut.is_some()), (&["猫".to_string()][..], true), "{loss:?}");
}

#[test]
fn ids_of_the_first_tokenizer_of_sdxl() {
    assert_equal_to_transformers("clip-tokenizers/tokenizer", &common::fixture("clip-tokenizers/tokenizer/ids.json"));
}

#[test]
fn ids_of_the_second_tokenizer_of_sdxl_which_pads_with_another_token() {
    assert_equal_to_transformers("clip-tokenizers/tokenizer_2", &common::fixture("clip-tokenizers/tokenizer_2/ids.json"));
}

#[test]
fn ids_of_the_digits_tokenizer_with_unknown_letters() {
    assert_equal_to_transformers("tiny-bundle/bundle/tokenizer", &common::fixture("clip-tokenizers/digits_ids.json"));
}

fn assert_refused(result: Result<Tokenizer, String>, what: &str) {
    let problem = result.map(|_| ()).unwrap_err();
    assert!(problem.lines().count() == 1 && problem.contains(what), "{problem:?} does not say {what:?}");
}

#[test]
fn damaged_clip_files_are_refused() {
    type Damage = fn(&mut Parts);
    let cases: [(&str, Damage); 15] = [
        ("lacks pad_token", |p| drop(p.config.as_object_mut().unwrap().shift_remove("pad_token"))),
        ("model_max_length", |p| p.config["model_max_length"] = json!(1e30)),
        ("not an id", |p| p.config["added_tokens_decoder"] = json!({"-1": {"content": "x"}})),
        ("has no content", |p| p.config["added_tokens_decoder"] = json!({"1": {}})),
        ("has an id of", |p| p.config["added_tokens_decoder"] = json!({"4294967296": {"content": "x"}})),
        ("another id", |p| p.config["added_tokens_decoder"] = json!({"5": {"content": "<|endoftext|>"}})),
        ("occurs twice", |p| p.config["added_tokens_decoder"] = json!({"800": {"content": "x"}, "801": {"content": "x"}})),
        ("is not two tokens", |p| p.merges = b"#version: 0.2\none two three\n".to_vec()),
        ("not UTF-8", |p| p.merges = b"#version\n\xff \xfe\n".to_vec()),
        ("vocab.json", |p| p.vocab = "[]".into()),
        ("vocab.json", |p| p.vocab = r#"{"a": -1}"#.into()),
        ("has 1 tokens", |p| p.vocab = r#"{"a": 7}"#.into()),
        ("the same id", |p| p.vocab = r#"{"a": 0, "b": 0}"#.into()),
        ("twice", |p| p.vocab = r#"{"a": 0, "a": 1}"#.into()),
        ("lacks", |p| p.vocab = "{}".into()),
    ];
    for (what, damage) in cases {
        for class in [Class::Clip, Class::ClipFast] {
            let mut parts = Parts::of("clip-tokenizers/tokenizer");
            assert!(parts.build(class).is_ok());
            damage(&mut parts);
            if what == "lacks" || what == "has 1 tokens" {
                parts.config["added_tokens_decoder"] = json!({});
            }
            assert_refused(parts.build(class), what);
        }
    }
}

fn t5(name: &str) -> Vec<u8> {
    std::fs::read(common::fixture("t5-tokenizer").join(name)).unwrap()
}

fn t5_from(class: Class, spiece: Option<&[u8]>, tokenizer: Option<&[u8]>) -> Result<Tokenizer, String> {
    Tokenizer::new(class, &Files { config: &t5("tokenizer_config.json"), spiece, tokenizer, ..Files::default() })
}

#[test]
fn cut_and_scrambled_sentencepiece_models_are_refused_or_encode() {
    let whole = t5("spiece.model");
    for class in [Class::T5, Class::T5Fast] {
        for step in 0..40 {
            let length = whole.len() * step / 40;
            assert_refused(t5_from(class, Some(&whole[..length]), None), "");
            let mut scrambled = whole.clone();
            scrambled[length..].iter_mut().take(64).for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7));
            if let Ok(tokenizer) = t5_from(class, Some(&scrambled), None) {
                tokenizer.encode("Ｆｕｌｌ ﷺ naïve text", 64, Padding::None).unwrap();
            }
        }
        assert_refused(t5_from(class, None, None), "spiece.model is missing");
    }
}

#[test]
fn unsupported_parts_of_tokenizer_json_are_named() {
    let cases = [
        ("/model/type", json!("BPE"), "only Unigram"),
        ("/model/unk_id", json!(100_000), "unk_id"),
        ("/model/vocab/3/1", json!("high"), "is not a finite number"),
        ("/model/byte_fallback", json!(true), "byte_fallback"),
        ("/normalizer/normalizers/0/precompiled_charsmap", json!("AAQAAAAA"), "damaged"),
        ("/normalizer/normalizers/0/precompiled_charsmap", json!("?"), "base64"),
        ("/normalizer/normalizers/2/pattern/Regex", json!("(a+)+$"), "Replace"),
        ("/pre_tokenizer/type", json!("Whitespace"), "pre-tokenizer"),
        ("/post_processor/single", json!([]), "post-processor"),
        ("/added_tokens/0/id", json!(-1), "no id"),
    ];
    for (place, value, what) in cases {
        let mut whole: Value = serde_json::from_slice(&t5("tokenizer.json")).unwrap();
        *whole.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value;
        assert_refused(t5_from(Class::T5Fast, None, Some(whole.to_string().as_bytes())), what);
    }
}

#[test]
fn limits_of_requests_are_named() {
    let tokenizer = Parts::of("clip-tokenizers/tokenizer").build(Class::Clip).unwrap();
    for (text, length) in [("a", 0), ("a", 1), ("a", MAX_LENGTH + 1), ("a", usize::MAX), (&"a".repeat(MAX_TEXT + 1), 77)] {
        let problem = tokenizer.encode(text, length, Padding::MaxLength).unwrap_err().chain();
        assert_eq!(problem.lines().count(), 1, "{problem}");
    }
    assert!("BertTokenizer".parse::<Class>().unwrap_err().contains("BertTokenizer"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any text encodes, to ids within the length that the mask describes.
    #[test]
    fn any_text_encodes(text in "(?s).{0,60}", length in 2usize..90) {
        thread_local! {
            static ALL: Vec<Tokenizer> = {
                let clip = [Class::Clip, Class::ClipFast].map(|class| Parts::of("clip-tokenizers/tokenizer_2").build(class).unwrap());
                let t5 = [Class::T5, Class::T5Fast].map(|class| Tokenizer::open(&common::fixture("t5-tokenizer"), Some(class)).unwrap());
                clip.into_iter().chain(t5).collect()
            };
        }
        ALL.with(|all| -> Result<(), TestCaseError> {
            for tokenizer in all {
                let cut = tokenizer.encode(&text, length, Padding::None).unwrap();
                let padded = tokenizer.encode(&text, length, Padding::MaxLength).unwrap();
                prop_assert!(!cut.ids.is_empty() && cut.ids.len() <= length);
                prop_assert_eq!((padded.ids.len(), padded.mask.len()), (length, length));
                prop_assert_eq!(padded.mask.iter().sum::<i64>(), cut.ids.len() as i64);
                prop_assert!(padded.ids.iter().all(|id| (0..700).contains(id)));
            }
            Ok(())
        })?;
    }
}

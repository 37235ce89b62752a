//! The Fréchet distance equals numpy and scipy's, and the scorer reads prompts and pictures the right way round.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{engines, fixture, tensors};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score;
use dmdx_runtime::score::frechet::{Statistics, distance};
use dmdx_runtime::{Error, ScoreError, Tensor};

#[test]
fn the_distance_equals_scipys() {
    let golden = tensors(&fixture("frechet/golden.safetensors"));
    for name in ["plain", "narrow", "dead"] {
        let of = |part: &str| Statistics::of(&golden[&format!("{name}.{part}")].0).unwrap();
        let expected = golden[&format!("{name}.distance")].1[0];
        // scipy's matrix root of the singular product ("dead": features that are always zero) is itself less exact.
        let tolerance = if name == "dead" { 1e-6 } else { 1e-9 };
        for (a, b) in [("a", "b"), ("b", "a")] {
            let found = distance(&of(a), &of(b)).unwrap();
            assert!((found - expected).abs() < tolerance * expected, "{name}: {found} against {expected}");
        }
        // A zero eigenvalue comes out near 1e-16, and its root near 1e-8.
        assert!(distance(&of("a"), &of("a")).unwrap().abs() < 1e-6);
    }
}

#[test]
fn features_without_statistics() {
    let row = Tensor::f32([1, 3], vec![1.0; 3]).unwrap();
    assert!(matches!(Statistics::of(&row), Err(Error::Score(ScoreError::FewPictures(1)))));
    let nan = Tensor::f32([2, 1], vec![1.0, f32::NAN]).unwrap();
    assert!(matches!(Statistics::of(&nan), Err(Error::Shape(_))));
    let narrow = Statistics::of(&Tensor::f32([2, 1], vec![1.0, 2.0]).unwrap()).unwrap();
    let wide = Statistics::of(&Tensor::f32([2, 2], vec![1.0; 4]).unwrap()).unwrap();
    assert!(distance(&narrow, &wide).is_err());
}

/// Four real digits; torch's features and logits for them are compared in engine.rs.
#[test]
fn real_digits_are_read_as_their_prompts() {
    let expected = tensors(&fixture("digits-classifier/io.safetensors"));
    for engine in engines() {
        let scorer = score::open(&fixture("digits-classifier"), engine.as_ref()).unwrap();
        let known = scorer.prompts().unwrap();
        assert_eq!((known.len(), known[0].as_str(), known[27].as_str()), (60, "a red zero", "a blue seven"));
        let right = ["a red three", "a green four", "a blue four", "a magenta three"].map(str::to_owned).to_vec();
        let score = scorer.score(&expected["image"].0, &right).unwrap();
        assert_eq!((score.get("digit_accuracy"), score.get("colour_accuracy")), (Some(1.0), Some(1.0)));
        let mut wrong = right.clone();
        wrong[0] = "a red one".into();
        wrong[1] = wrong[1].replace("green", "red");
        let score = scorer.score(&expected["image"].0, &wrong).unwrap();
        assert_eq!((score.get("digit_accuracy"), score.get("colour_accuracy")), (Some(0.75), Some(0.75)));
        let keys = serde_json::to_string(&score).unwrap();
        assert!(keys.starts_with("{\"digit_accuracy\":0.75,\"colour_accuracy\":0.75,\"frechet\":"), "{keys}");
    }
}

#[test]
fn requests_that_make_no_sense() {
    let scorer = score::open(&fixture("digits-classifier"), &TractEngine::new(1)).unwrap();
    let pictures = Tensor::f32([2, 3, 32, 32], vec![0.0; 6144]).unwrap();
    let prompts = |second: &str| vec!["a red one".to_owned(), second.to_owned()];
    assert!(scorer.score(&pictures, &prompts("a cyan two")).is_ok());
    let unknown = scorer.score(&pictures, &prompts("a horse on mars")).unwrap_err().chain();
    assert!(unknown.contains("a horse on mars") && unknown.contains("a red zero"), "{unknown}");
    assert!(matches!(scorer.score(&pictures, &prompts("a cyan two")[..1]), Err(Error::Score(ScoreError::Counts { .. }))));
}

#[test]
fn a_damaged_classifier_folder() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.onnx", "statistics.safetensors"] {
        fs::write(folder.path().join(name), fs::read(fixture("digits-classifier").join(name)).unwrap()).unwrap();
    }
    let open = || score::open(folder.path(), &TractEngine::new(1)).map(|_| ());
    open().unwrap();
    let statistics = folder.path().join("statistics.safetensors");
    let mut bytes = fs::read(&statistics).unwrap();
    bytes.pop();
    fs::write(&statistics, bytes).unwrap();
    assert!(open().unwrap_err().chain().contains("statistics.safetensors"));
    let config = folder.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    for (from, to, sentence) in [
        (text.as_str(), "{}", "no description of a scorer"),
        ("\"classifier\"", "\"oracle\"", "the scorer is of the kind oracle; the known ones are classifier"),
        ("\"input\"", "\"inputs\"", "no description of a classifier"),
        ("{colour} {digit}", "{colour} thing", "in which {digit} should stand once"),
        ("{colour} {digit}", "{colour} {digit} {digit}", "in which {digit} should stand once"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&config, text.replacen(from, to, 1)).unwrap();
        fs::copy(fixture("digits-classifier/statistics.safetensors"), &statistics).unwrap();
        let found = open().unwrap_err().chain();
        assert!(found.contains(sentence), "{found}");
    }
}

/// What a classifier reads is a matter of its configuration: one attribute, its placeholder first, other names.
#[test]
fn another_configuration_asks_for_other_prompts() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.onnx", "statistics.safetensors"] {
        fs::copy(fixture("digits-classifier").join(name), folder.path().join(name)).unwrap();
    }
    let config = folder.path().join("config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["prompt"] = "{shade} it is".into();
    json["attributes"] = serde_json::json!([
        {"name": "shade", "labels": ["r", "g", "b", "y", "c", "m"], "output": "colour", "number": "right"}
    ]);
    json["frechet"]["number"] = "far".into();
    fs::write(&config, json.to_string()).unwrap();
    let scorer = score::open(folder.path(), &TractEngine::new(1)).unwrap();
    assert_eq!(scorer.prompts().unwrap(), ["r it is", "g it is", "b it is", "y it is", "c it is", "m it is"]);
    let image = tensors(&fixture("digits-classifier/io.safetensors"))["image"].0.clone();
    let score = scorer.score(&image, &["r it is", "g it is", "b it is", "r it is"].map(str::to_owned)).unwrap();
    assert_eq!(score.numbers().map(|(name, _)| name).collect::<Vec<_>>(), ["right", "far"]);
    assert_eq!(score.get("right"), Some(0.75));
}

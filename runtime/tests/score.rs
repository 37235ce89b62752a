//! The Fréchet distance equals numpy and scipy's, and the scorer reads prompts and pictures the right way round.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{engines, fixture, tensors};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score;
use dmdx_runtime::score::frechet::{Accumulator, Statistics, distance};
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

/// Features that come in portions: no bit depends on the portions, one block of 4096 is what it is alone, and several blocks
/// are as near to all at once, summed here in one go, as f64 lets them be.
#[test]
fn statistics_come_in_any_portions() {
    let (width, count) = (3, 9000);
    let value = |row: usize, column: usize| ((row * 37 + column * 101) % 997) as f32 / 97.0 + row as f32 / 500.0;
    let rows = |from: usize, to: usize| {
        let values = (from..to).flat_map(|row| (0..width).map(move |column| value(row, column))).collect();
        Tensor::f32([to - from, width], values).unwrap()
    };
    let portioned = |count: usize, size: usize| {
        let mut all = Accumulator::default();
        (0..count).step_by(size).for_each(|from| all.add(&rows(from, (from + size).min(count))).unwrap());
        all.finish().unwrap()
    };
    for count in [2, 4095, 4096, 4097, count] {
        let whole = Statistics::of(&rows(0, count)).unwrap();
        for size in [1, 50, 4096, 5000] {
            assert_eq!(portioned(count, size), whole, "{count} rows in portions of {size}");
        }
    }
    let mean = |column: usize| (0..count).map(|row| f64::from(value(row, column))).sum::<f64>() / count as f64;
    let means: Vec<f64> = (0..width).map(mean).collect();
    let covariance = |a: usize, b: usize| {
        let product = |row: usize| (f64::from(value(row, a)) - means[a]) * (f64::from(value(row, b)) - means[b]);
        (0..count).map(product).sum::<f64>() / (count - 1) as f64
    };
    let wanted: Vec<f64> = (0..width * width).map(|place| covariance(place / width, place % width)).collect();
    let (found_mean, found_covariance) = portioned(count, 50).into_parts();
    // 9,000 terms of about 10 to 100, each rounded to 1e-16 of the sum so far.
    for (found, wanted) in found_mean.iter().chain(&found_covariance).zip(means.iter().chain(&wanted)) {
        assert!((found - wanted).abs() <= 1e-12 * wanted.abs(), "{found} against {wanted}");
    }
    let mut mixed = Accumulator::default();
    mixed.add(&rows(0, 1)).unwrap();
    assert!(mixed.add(&Tensor::f32([1, 2], vec![0.0; 2]).unwrap()).is_err());
}

/// Pictures that come in portions get the numbers that they get all at once, whatever is left over for the last batch.
#[test]
fn scores_come_in_any_portions() {
    let digits = tensors(&fixture("digits-classifier/io.safetensors"))["image"].0.clone();
    let known = ["a red three", "a green four", "a blue four", "a magenta three"];
    for engine in engines() {
        let scorer = score::open(&fixture("digits-classifier"), engine.as_ref()).unwrap();
        assert_eq!(scorer.files(), ["model.onnx", "statistics.safetensors"]);
        for count in [4, 130, 250] {
            let picture = |index: usize| {
                let values = &digits.floats().unwrap()[index % 4 * 3072..][..3072];
                values.iter().map(|value| value * (1.0 - index as f32 / 1000.0)).collect::<Vec<f32>>()
            };
            let portion = |from: usize, to: usize| {
                let prompts: Vec<String> = (from..to).map(|index| known[(index + index / 50) % 4].to_string()).collect();
                (Tensor::f32([to - from, 3, 32, 32], (from..to).flat_map(picture).collect()).unwrap(), prompts)
            };
            let (pictures, prompts) = portion(0, count);
            let whole = scorer.score(&pictures, &prompts).unwrap();
            for size in [1, 7, 100] {
                let mut scoring = scorer.begin();
                for from in (0..count).step_by(size) {
                    let (pictures, prompts) = portion(from, (from + size).min(count));
                    scoring.add(&pictures, &prompts).unwrap();
                }
                assert_eq!(scoring.finish().unwrap(), whole, "{count} pictures in portions of {size}");
            }
        }
        let mut scoring = scorer.begin();
        scoring.add(&Tensor::f32([1, 3, 32, 32], vec![0.0; 3072]).unwrap(), &["a red one".to_owned()]).unwrap();
        let small = Tensor::f32([1, 3, 16, 16], vec![0.0; 768]).unwrap();
        assert!(scoring.add(&small, &["a red one".to_owned()]).is_err());
        assert!(matches!(scorer.begin().finish(), Err(Error::Score(ScoreError::NoPictures))));
    }
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

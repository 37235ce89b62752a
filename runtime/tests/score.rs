//! The Fréchet distance equals numpy and scipy's, and the scorer reads prompts and pictures the right way round.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{engines, fixture, tensors};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::score::frechet::{Accumulator, Statistics, distance};
use dmdx_runtime::score::neighbours::{Balls, NEIGHBOURS};
use dmdx_runtime::score::{self, Reference, Spread};
use dmdx_runtime::{Error, ScoreError, Tensor};
use safetensors::Dtype;

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

/// Density and coverage equal numpy's to the last bit that counts: both are shares of counts, and no distance of these sets is
/// as near to a radius as rounding.
#[test]
fn density_and_coverage_equal_numpys() {
    let golden = tensors(&fixture("frechet/golden.safetensors"));
    for name in ["plain", "narrow", "dead"] {
        let of = |part: &str| &golden[&format!("{name}.{part}")];
        for threads in [1, 3] {
            let place = Balls::of(&of("a").0, threads).unwrap().place(&of("b").0, threads).unwrap();
            let found = [place.density, place.coverage];
            assert!(
                found.iter().zip(&of("place").1).all(|(a, b)| (a - b).abs() < 1e-12),
                "{name}: {found:?} {:?}",
                of("place").1
            );
        }
    }
}

/// By hand: six points on a line, whose fifth neighbours are 5, 4, 3, 3, 4 and 5 away.
#[test]
fn balls_hold_their_surface_and_need_neighbours() {
    let line = |values: &[f32]| Tensor::f32([values.len(), 1], values.to_vec()).unwrap();
    let balls = Balls::of(&line(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), 1).unwrap();
    let place = |values: &[f32]| balls.place(&line(values), 1).map(|place| (place.density, place.coverage));
    assert_eq!(place(&[2.5]).unwrap(), (6.0 / 5.0, 1.0));
    // 5 away from 0, 4 from 1, 3 from 2 and so on: on the surface of three balls, within the others.
    assert_eq!(place(&[5.0]).unwrap(), (6.0 / 5.0, 1.0));
    // 7 is more than the radius away from 0, 1, 2 and 3.
    assert_eq!(place(&[7.0, 7.0]).unwrap(), (2.0 * 2.0 / (5.0 * 2.0), 2.0 / 6.0));
    assert_eq!(place(&[100.0]).unwrap(), (0.0, 0.0));
    let sentence = Balls::of(&line(&[0.0; NEIGHBOURS]), 1).unwrap_err().to_string();
    assert!(sentence.contains("needs more than 5 pictures"), "{sentence}");
    assert!(balls.place(&Tensor::f32([1, 2], vec![0.0; 2]).unwrap(), 1).is_err());
    assert!(Balls::of(&Tensor::f32([6], vec![0.0; 6]).unwrap(), 1).is_err());
}

/// Against the definition by hand.
#[test]
fn spread_is_the_mean_distance_of_pictures_of_one_prompt() {
    let prompts = |each: &[char]| each.to_vec();
    let of = |pictures: &[f32], of: &[char]| Spread::of(pictures, 2, &prompts(of));
    // Two prompts with three pictures of two values: pairs of the first are 1, 1 and 0 apart, of the second 0.
    let pictures = [-1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.25, 0.5, 0.25, 0.5];
    assert!((of(&pictures, &['a', 'a', 'a', 'b', 'b', 'b']).unwrap() - 1.0 / 3.0).abs() < 1e-12);
    // In any order.
    let mixed = [-1.0, -1.0, 0.25, 0.5, 0.0, 0.0, 0.25, 0.5, 0.0, 0.0, 0.25, 0.5];
    assert!((of(&mixed, &['a', 'b', 'a', 'b', 'a', 'b']).unwrap() - 1.0 / 3.0).abs() < 1e-12);
    // Every prompt counts the same, whatever the number of its pictures; one picture alone is not counted.
    assert!(
        (of(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0], &['a', 'a', 'b', 'b', 'b', 'c']).unwrap() - 0.5).abs()
            < 1e-12
    );
    // Beyond white is white.
    assert!((of(&[1.0, 5.0, 1.0, 1.0, 1.0, -1.0], &['a'; 3]).unwrap() - (0.0 + 2.0 * 2.0f64.sqrt()) / 3.0).abs() < 1e-12);
    assert_eq!((of(&[0.5; 4], &['a', 'b']), of(&[], &[])), (None, None));
}

/// Beside a reference there are three more numbers, and its file is refused where it is another scorer's.
#[test]
fn pictures_are_compared_with_a_reference() {
    let digits = tensors(&fixture("digits-classifier/io.safetensors"))["image"].0.clone();
    let picture = |index: usize| {
        let values = &digits.floats().unwrap()[index % 4 * 3072..][..3072];
        values.iter().map(|value| value * (1.0 - index as f32 / 50.0)).collect::<Vec<f32>>()
    };
    let pictures = |from: usize| Tensor::f32([16, 3, 32, 32], (from..from + 16).flat_map(picture).collect()).unwrap();
    let known = ["a red three", "a green four", "a blue four", "a magenta three"].map(str::to_owned);
    let prompts: Vec<String> = (0..16).map(|index| known[index % 4].clone()).collect();
    for engine in engines() {
        let scorer = score::open(&fixture("digits-classifier"), engine.as_ref()).unwrap();
        let features = scorer.features(&pictures(0)).unwrap();
        assert_eq!(features.shape(), [16, 64]);
        let reference = Reference::new("teacher", &features, 2).unwrap();
        let same = scorer.score(&pictures(0), &prompts, Some(&reference)).unwrap();
        let names: Vec<&str> = same.numbers().map(|(name, _)| name).collect();
        assert_eq!(names, ["digit_accuracy", "colour_accuracy", "frechet", "frechet_to_teacher", "density", "coverage"]);
        // A picture is in its own ball. Of 16 pictures the covariance is singular: zero eigenvalues come out near 1e-12 of the
        // largest, about 100, and their roots near 1e-5.
        assert_eq!(same.get("coverage"), Some(1.0));
        assert!(same.get("frechet_to_teacher").unwrap().abs() < 1e-3, "{same:?}");
        let other = scorer.score(&pictures(9), &prompts, Some(&reference)).unwrap();
        assert!(other.get("frechet_to_teacher").unwrap() > 1.0, "{other:?}");
        let without = scorer.score(&pictures(9), &prompts, None).unwrap();
        assert_eq!(without.numbers().collect::<Vec<_>>(), other.numbers().take(3).collect::<Vec<_>>());

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reference.safetensors");
        let write = |metadata: Option<[(String, String); 2]>| {
            let bytes: Vec<u8> = features.floats().unwrap().iter().flat_map(|value| value.to_le_bytes()).collect();
            let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![16, 64], &bytes).unwrap();
            let metadata = metadata.map(|pairs| pairs.into_iter().collect());
            fs::write(&file, safetensors::serialize([(Reference::tensor(), view)], metadata).unwrap()).unwrap();
        };
        let read = || Reference::read(&file, scorer.identity(), scorer.threads());
        write(Some(Reference::metadata("teacher", scorer.identity())));
        assert_eq!(scorer.score(&pictures(9), &prompts, Some(&read().unwrap())).unwrap(), other);
        write(Some(Reference::metadata("teacher", "another")));
        assert!(matches!(read(), Err(Error::Score(ScoreError::OtherScorer { .. }))));
        write(None);
        assert!(read().unwrap_err().chain().contains("does not say reference"));
        fs::write(&file, "no").unwrap();
        assert!(read().unwrap_err().chain().contains("is not a safetensors file"));
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
            let whole = scorer.score(&pictures, &prompts, None).unwrap();
            for size in [1, 7, 100] {
                let mut scoring = scorer.begin(None);
                for from in (0..count).step_by(size) {
                    let (pictures, prompts) = portion(from, (from + size).min(count));
                    scoring.add(&pictures, &prompts).unwrap();
                }
                assert_eq!(scoring.finish().unwrap(), whole, "{count} pictures in portions of {size}");
            }
        }
        let mut scoring = scorer.begin(None);
        scoring.add(&Tensor::f32([1, 3, 32, 32], vec![0.0; 3072]).unwrap(), &["a red one".to_owned()]).unwrap();
        let small = Tensor::f32([1, 3, 16, 16], vec![0.0; 768]).unwrap();
        assert!(scoring.add(&small, &["a red one".to_owned()]).is_err());
        assert!(matches!(scorer.begin(None).finish(), Err(Error::Score(ScoreError::NoPictures))));
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
        let score = scorer.score(&expected["image"].0, &right, None).unwrap();
        assert_eq!((score.get("digit_accuracy"), score.get("colour_accuracy")), (Some(1.0), Some(1.0)));
        let mut wrong = right.clone();
        wrong[0] = "a red one".into();
        wrong[1] = wrong[1].replace("green", "red");
        let score = scorer.score(&expected["image"].0, &wrong, None).unwrap();
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
    assert!(scorer.score(&pictures, &prompts("a cyan two"), None).is_ok());
    let unknown = scorer.score(&pictures, &prompts("a horse on mars"), None).unwrap_err().chain();
    assert!(unknown.contains("a horse on mars") && unknown.contains("a red zero"), "{unknown}");
    assert!(matches!(scorer.score(&pictures, &prompts("a cyan two")[..1], None), Err(Error::Score(ScoreError::Counts { .. }))));
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
    let score = scorer.score(&image, &["r it is", "g it is", "b it is", "r it is"].map(str::to_owned), None).unwrap();
    assert_eq!(score.numbers().map(|(name, _)| name).collect::<Vec<_>>(), ["right", "far"]);
    assert_eq!(score.get("right"), Some(0.75));
}

/// Random videos against numpy and ONNX Runtime (`make.py` there): accuracies, the entropy of what no prompt asks for, and the
/// distance, whatever the portions; the network has the channels before the frames.
#[test]
fn videos_are_read_as_their_prompts_and_by_what_no_prompt_asks_for() {
    let folder = fixture("video-classifier");
    let videos = tensors(&folder.join("videos.safetensors"))["videos"].0.clone();
    let bytes = fs::read(folder.join("videos.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["numbers"]).unwrap();
    for engine in engines() {
        let scorer = score::open(&folder, engine.as_ref()).unwrap();
        assert_eq!(scorer.frames(), Some(9));
        let prompts: Vec<String> = (0..3).flat_map(|_| scorer.prompts().unwrap().to_vec()).collect();
        let score = scorer.score(&videos, &prompts, None).unwrap();
        let names: Vec<&str> = score.numbers().map(|(name, _)| name).collect();
        assert_eq!(names, ["digit_accuracy", "colour_accuracy", "drift_entropy", "frechet"]);
        for (name, value) in score.numbers() {
            let expected = expected[name].as_f64().unwrap();
            // Features of two engines in float32.
            assert!((value - expected).abs() < 1e-4, "{name} is {value}, not {expected}");
        }
        let mut scoring = scorer.begin(None);
        for (index, prompt) in prompts.iter().enumerate() {
            let one = videos.floats().unwrap()[index * videos.row_len()..][..videos.row_len()].to_vec();
            scoring.add(&Tensor::f32([&[1], &videos.shape()[1..]].concat(), one).unwrap(), std::slice::from_ref(prompt)).unwrap();
        }
        assert_eq!(scoring.finish().unwrap(), score);
        // One video of every prompt says nothing of how different they are.
        let six = Tensor::f32([6, 9, 3, 1, 2], videos.floats().unwrap()[..6 * 54].to_vec()).unwrap();
        assert_eq!(scorer.score(&six, &prompts[..6], None).unwrap().get("drift_entropy"), None);

        let picture = Tensor::f32([1, 3, 4, 4], vec![0.0; 48]).unwrap();
        let refusal = scorer.score(&picture, &prompts[..1], None).unwrap_err().to_string();
        assert_eq!(refusal, "the scorer judges results of shape [9, 3, H, W], not [3, 4, 4]");
        let pictures = score::open(&fixture("digits-classifier"), engine.as_ref()).unwrap();
        let refusal = pictures.score(&six, &vec!["a red one".to_owned(); 6], None).unwrap_err().to_string();
        assert_eq!(refusal, "the scorer judges results of shape [3, H, W], not [9, 3, 1, 2]");
    }
}

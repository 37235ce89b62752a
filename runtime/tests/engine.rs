//! Both engines run what torch exported, and damaged files are errors: no panic, no hang.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::time::Duration;

use common::{difference, engines, fixture, largest, tensors};
use dmdx_runtime::engine::guard::{Failure, catch, catch_within};
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::{Data, Engine, Error, Tensor, run_model};

#[test]
fn the_classifier_gives_what_torch_gives() {
    let expected = tensors(&fixture("digits-classifier/io.safetensors"));
    let image = &expected["image"].0;
    for engine in engines() {
        let session = engine.load(&fixture("digits-classifier/model.onnx")).unwrap();
        assert_eq!(session.inputs()[0].dims, [None, Some(3), Some(32), Some(32)]);
        let outputs = session.run(&[("image", image)]).unwrap();
        let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["features", "digit", "colour"]);
        for (name, tensor) in &outputs {
            // Four convolutions and two linear layers in float32, summed in another order.
            let relative = difference(tensor, &expected[name].0) / largest(tensor);
            assert!(relative < 1e-5, "{} {name}: {relative}", engine.name());
        }
        // Another batch size, then the first again: plans are kept per shape.
        let one = Tensor::f32([1, 3, 32, 32], image.floats().unwrap()[..3072].to_vec()).unwrap();
        let alone = session.run(&[("image", &one)]).unwrap();
        assert_eq!(alone[0].1.shape(), [1, 64]);
        assert_eq!(session.run(&[("image", image)]).unwrap(), outputs, "{} repeats its bits", engine.name());
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_before_the_engine_sees_them() {
    let path = fixture("digits-classifier/model.onnx");
    let wrong_size = Tensor::f32([1, 3, 16, 16], vec![0.0; 768]).unwrap();
    let wrong_rank = Tensor::f32([3, 32, 32], vec![0.0; 3072]).unwrap();
    let wrong_type = Tensor::i64([1, 3, 32, 32], vec![0; 3072]).unwrap();
    for engine in engines() {
        for inputs in [
            &[("image", &wrong_size)][..],
            &[("image", &wrong_rank)],
            &[("image", &wrong_type)],
            &[("picture", &wrong_size)],
            &[],
        ] {
            let error = run_model(engine.as_ref(), &path, inputs).unwrap_err();
            assert!(matches!(error, Error::Shape(_)), "{}", error.chain());
        }
    }
    assert!(Tensor::f32([usize::MAX, 2], vec![]).is_err() && Tensor::i64([2], vec![1]).is_err());
    assert!(matches!(wrong_type.data(), Data::I64(_)) && wrong_type.floats().is_err());
}

#[test]
fn truncated_and_foreign_files_are_errors() {
    let bytes = fs::read(fixture("tiny-bundle/bundle/unet/model.onnx")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for engine in engines() {
        let absent = engine.load(&folder.path().join("absent.onnx")).err().unwrap();
        assert!(matches!(absent, Error::Model { .. }), "{}", absent.chain());
        for cut in [1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            refused(engine.as_ref(), &path);
        }
        for foreign in [&b"not a model"[..], &[0xff; 64], b"\x7fELF"] {
            fs::write(&path, foreign).unwrap();
            refused(engine.as_ref(), &path);
        }
    }
}

/// A damaged file is refused at the latest when it is run, with one line.
fn refused(engine: &dyn Engine, path: &std::path::Path) {
    let error = engine.load(path).and_then(|session| session.run(&[])).unwrap_err();
    assert_eq!(error.chain().lines().count(), 1);
    assert!(matches!(error, Error::Model { .. } | Error::Shape(_)), "{}", error.chain());
}

/// tract panics on some damaged files (graph.md, 9.3). Every fifth byte of a small model is changed in two ways.
#[test]
fn changed_bytes_never_panic_or_hang() {
    let bytes = fs::read(fixture("tiny-bundle/bundle/unet/model.onnx")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let engine = TractEngine::new(1).with_load_limit(Duration::from_secs(20));
    let float = |shape: &[usize]| Tensor::f32(shape, vec![0.5; shape.iter().product()]).unwrap();
    let inputs = [float(&[1, 4, 4, 4]), float(&[1]), float(&[1, 3, 10]), float(&[1, 5]), float(&[1, 6])];
    let names = ["sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids"];
    let inputs: Vec<(&str, &Tensor)> = names.into_iter().zip(&inputs).collect();
    let (mut ran, mut broke) = (0, 0);
    for at in (0..bytes.len()).step_by(5) {
        for mask in [0x01, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            fs::write(&path, &changed).unwrap();
            match run_model(&engine, &path, &inputs) {
                Ok(_) => ran += 1,
                Err(error) => {
                    broke += usize::from(error.chain().contains("broke the engine"));
                    assert_eq!(error.chain().lines().count(), 1);
                }
            }
        }
    }
    eprintln!("{ran} still ran, {broke} made tract panic inside the guard");
    assert!(ran > 0);
}

#[test]
fn the_guard_turns_panics_and_hangs_into_failures() {
    assert!(matches!(catch(|| 3), Ok(3)));
    assert!(matches!(catch(|| panic!("number {}", 5)), Err::<(), _>(Failure::Panic(text)) if text == "number 5"));
    let limit = Duration::from_millis(50);
    assert!(matches!(catch_within(limit, || panic!("now")), Err::<(), _>(Failure::Panic(text)) if text == "now"));
    assert!(matches!(catch_within(limit, || std::thread::sleep(Duration::from_secs(5))), Err(Failure::Timeout)));
}

//! Noise in files: what NumPy and safetensors write is read, what is damaged is refused.
#![allow(clippy::unwrap_used)]

use std::fs;

use dmdx_runtime::Tensor;
use dmdx_runtime::noise_file::{NoiseFormat, read};
use dmdx_runtime::pipeline::format::Format;
use dmdx_runtime::pipeline::picture::sheet_size;

/// What numpy 2.4.6 writes of an array of shape (1, 2, 3).
fn array(descr: &str, order: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    let header = format!("{header}{}\n", " ".repeat(117 - header.len()));
    [b"\x93NUMPY\x01\x00v\x00", header.as_bytes(), values].concat()
}

#[test]
fn arrays_of_numpy_are_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.npy");
    let wanted = Tensor::f32([1, 2, 3], vec![0.0, 0.25, 0.5, 0.75, 1.0, 1.25]).unwrap();
    let values = wanted.floats().unwrap();
    let single: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let double: Vec<u8> = values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
    let half: Vec<u8> = [0x0000u16, 0x3400, 0x3800, 0x3a00, 0x3c00, 0x3d00].iter().flat_map(|word| word.to_le_bytes()).collect();
    for (descr, values) in [("<f4", &single), ("<f8", &double), ("<f2", &half)] {
        fs::write(&path, array(descr, "False", "(1, 2, 3)", values)).unwrap();
        assert_eq!(read(&path, &[1, 2, 3]).unwrap(), wanted, "{descr}");
    }
    assert_eq!(NoiseFormat::Npy.encode(&wanted).unwrap(), array("<f4", "False", "(1, 2, 3)", &single));
    let path = folder.path().join("n.safetensors");
    fs::write(&path, NoiseFormat::Safetensors.encode(&wanted).unwrap()).unwrap();
    assert_eq!(read(&path, &[1, 2, 3]).unwrap(), wanted);
}

#[test]
fn damaged_files_and_other_shapes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.npy");
    let zeros = [0; 24];
    let infinite = [&zeros[..20], &f32::INFINITY.to_le_bytes()].concat();
    for (bytes, sentence) in [
        (array("<f4", "True", "(1, 2, 3)", &zeros), "Fortran"),
        (array("<i4", "False", "(1, 2, 3)", &zeros), "float16, float32 or float64"),
        (array("<f4", "False", "(1, 2, 4)", &zeros), "24 bytes of values"),
        (array("<f4", "False", "(1, 3, 2)", &zeros), "has the shape [1, 3, 2], but these pictures need [1, 2, 3]"),
        (array("<f4", "False", "(1, 99999999999999999999)", &zeros), "no tuple of sizes"),
        (array("<f4", "False", "(4611686018427387904, 4)", &zeros), "bytes of values"),
        (array("<f4", "False", "(1, 2, 3)", &infinite), "NaN or infinity"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'".to_vec(), "ends in its header"),
        (b"\x93NUMPY\x09\x00v\x00".to_vec(), "version 9"),
        (b"PK".to_vec(), "does not begin as a NumPy array"),
        (vec![0; 3 << 20], "larger than"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = read(&path, &[1, 2, 3]).unwrap_err().chain();
        assert!(error.contains(sentence) && error.contains("n.npy"), "{error}");
    }
    let path = folder.path().join("n.safetensors");
    fs::write(&path, "{}").unwrap();
    let error = read(&path, &[1]).unwrap_err().chain();
    assert!(error.contains("n.safetensors cannot be read"), "{error}");
}

#[test]
fn pictures_that_a_format_cannot_hold_are_refused() {
    // The sides that libwebp and JPEG's 16 bits allow.
    for (format, most) in [(Format::WebP, 16_384), (Format::Jpeg, 65_535)] {
        assert!(format.check(most, 8).is_ok());
        let error = format.check(8, most + 1).unwrap_err().to_string();
        assert!(error.contains(&format!("8x{}", most + 1)) && error.contains("choose .png"), "{error}");
    }
    assert_eq!(sheet_size(5, [8, 16], 2, 3).unwrap(), [96, 72]);
}

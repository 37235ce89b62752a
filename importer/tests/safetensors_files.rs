//! Malformed safetensors files: every rule of the format has a sentence. Written ones hold what they were given.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::io::Cursor;

use common::{copy, file_of, sentence};
use dmdx_importer::hf::safetensors::{SafetensorsWriter, TensorEntry};
use dmdx_importer::hf::tensors::open;
use dmdx_importer::{ImportOptions, Limits};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

fn refused(bytes: &[u8]) -> String {
    refused_with(bytes, &ImportOptions::default())
}

fn refused_with(bytes: &[u8], options: &ImportOptions) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let text = sentence(open(folder.path(), options), folder.path());
    let text = text.strip_prefix("`DIR/model.safetensors`").expect(&text);
    text.strip_prefix(" is not a usable safetensors file: ").unwrap_or(text).to_string()
}

const ONE: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

#[test]
fn a_sound_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), file_of(ONE, &[0; 8])).unwrap();
    let tensors = open(folder.path(), &ImportOptions::default()).unwrap();
    assert_eq!(tensors.weights["a"].shape(), [2]);
}

#[test]
fn lengths_that_lie() {
    assert_eq!(refused(&[1; 7]), "it has 7 bytes, fewer than the 8 that hold the header's length; download it again");
    let mut long = file_of(ONE, &[0; 8]);
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        refused(&long),
        "it claims a header of 18446744073709551615 bytes but only 62 follow; it is of another format or damaged"
    );
    assert_eq!(refused(&file_of(ONE, &[0; 5])), "it is 3 bytes too short for the tensors in its header; download it again");
    assert_eq!(
        refused(&file_of(ONE, &[0; 9])),
        "1 bytes follow its last tensor, where nothing may be hidden; write it again with safetensors' save_file"
    );
    assert_eq!(
        refused(b"PK\x03\x04\0\0\0\0"),
        "it claims a header of 67324752 bytes but only 0 follow; it is of another format or damaged"
    );
}

#[test]
fn a_truncated_checkpoint() {
    let folder = copy("zoo/clip_l");
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1000]).unwrap();
    assert_eq!(
        sentence(dmdx_importer::import(folder.path(), &ImportOptions::default()), folder.path()),
        "`DIR/model.safetensors` is not a usable safetensors file: it is 1000 bytes too short for the tensors in its \
         header; download it again"
    );
}

#[test]
fn headers_that_are_not_what_they_should_be() {
    assert_eq!(refused(&file_of("[1]", &[])), "its header does not begin with `{`; it is of another format");
    assert!(refused(&file_of("{\"a\":", &[])).starts_with("in its header, EOF while parsing"));
    let mut bytes = file_of(ONE, &[0; 8]);
    bytes[10] = 0xff;
    assert!(refused(&bytes).starts_with("its header is not UTF-8"));
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    assert_eq!(refused(&file_of(twice, &[0; 8])), "in its header, the key \"a\" occurs twice at line 1 column 107");
    let metadata = r#"{"__metadata__":{"x":"1","x":"2"}}"#;
    assert_eq!(refused(&file_of(metadata, &[])), "in its header, the key \"x\" occurs twice at line 1 column 33");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused(&file_of(&deep, &[])).starts_with("in its header, it is nested deeper than 3 levels"));
}

#[test]
fn tensors_that_cannot_be() {
    let of = |entry: &str| refused(&file_of(&format!("{{\"a\":{entry}}}"), &[0; 8]));
    assert!(of(r#"{"dtype":"F77","shape":[2],"data_offsets":[0,8]}"#).contains("unknown variant `F77`"));
    assert_eq!(
        of(r#"{"dtype":"U64","shape":[1],"data_offsets":[0,8]}"#),
        "tensor \"a\" has type U64; only F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32, U8 and BOOL are read"
    );
    assert!(of(r#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#).contains("invalid value: integer `-2`"));
    assert!(of(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#).contains("has 8 bytes, its type and shape need 12"));
    assert!(of(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#).contains("ends at byte 0 before it begins at 8"));
    assert!(of(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8],"dtype":"F16"}"#).contains("occurs twice"));
    for sizes in ["[4294967296,4294967296,2]", "[9223372036854775807,9]", "[18446744073709551615]"] {
        let entry = format!("{{\"dtype\":\"F32\",\"shape\":{sizes},\"data_offsets\":[0,8]}}");
        assert!(of(&entry).contains("has more elements than any file can hold"), "{sizes}: {}", of(&entry));
    }
    assert!(of(r#"{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]}"#).contains("invalid type"));
}

#[test]
fn tensors_that_overlap_or_leave_holes() {
    let two = |second: &str, bytes: usize| {
        let header = format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}},\
             \"b\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{second}}}}}"
        );
        refused(&file_of(&header, &vec![0; bytes]))
    };
    for (offsets, bytes) in [("[4,12]", 12), ("[0,8]", 8), ("[12,20]", 20)] {
        assert!(two(offsets, bytes).contains("tensor"), "{offsets}");
    }
}

#[test]
fn limits() {
    let with = |change: fn(&mut Limits)| {
        let mut options = ImportOptions::default();
        change(&mut options.limits);
        refused_with(&file_of(ONE, &[0; 8]), &options)
    };
    assert_eq!(
        with(|limits| limits.header_bytes = 10),
        ": the header's size in bytes is 54, the limit is 10; raise `Limits::header_bytes` if you trust the file"
    );
    assert!(with(|limits| limits.tensors = 0).starts_with(": the number of tensors is 1, the limit is 0"));
    let four = r#"{"a":{},"b":{},"c":{},"d":{}}"#;
    let options = ImportOptions { limits: Limits { tensors: 2, ..Limits::default() }, ..ImportOptions::default() };
    assert!(refused_with(&file_of(four, &[]), &options).starts_with("in its header, it has more than 3 entries"));
    assert!(with(|limits| limits.mapped_bytes = 8).starts_with(": the size in bytes is 70"));
    assert!(with(|limits| limits.rank = 0).starts_with(": the number of dimensions of tensor \"a\" is 1"));
    assert!(with(|limits| limits.dimension = 1).starts_with(": a dimension of tensor \"a\" is 2"));
    assert!(with(|limits| limits.elements = 1).starts_with(": the number of elements of tensor \"a\" is 2"));
    assert!(with(|limits| limits.tensor_bytes = 7).starts_with(": the size in bytes of tensor \"a\" is 8"));
    assert!(with(|limits| limits.name_bytes = 0).starts_with(": the length of the name of tensor \"a\" is 1"));
    let nine = r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}"#;
    assert_eq!(
        refused(&file_of(nine, &[0; 8])),
        ": the number of dimensions of tensor \"a\" is 9, the limit is 8; raise `Limits::rank` if you trust the file"
    );
}

#[test]
fn every_storage_type_is_kept() {
    let half = open(common::half_variant().path(), &ImportOptions::default()).unwrap();
    assert!(half.weights.values().all(|weight| weight.dtype() == dmdx_graph::DType::F16));
    assert_eq!(half.notes, ["only the variant `fp16` is there (diffusion_pytorch_model.fp16.safetensors); it is used"]);
}

#[test]
fn a_file_is_written_in_pieces_and_nothing_but_its_tensors() {
    let entry = |name: &str, dtype, shape: &[usize]| TensorEntry { name: name.into(), dtype, shape: shape.to_vec() };
    let entries = vec![entry("b", Dtype::F32, &[2, 2]), entry("none", Dtype::F16, &[0, 3]), entry("a", Dtype::U8, &[3])];
    let text = |value: &str| BTreeMap::from([("format".to_string(), value.to_string())]);
    let begin = || SafetensorsWriter::begin(Cursor::new(Vec::new()), &text("pt"), entries.clone()).unwrap();
    let fill = |mut writer: SafetensorsWriter<Cursor<Vec<u8>>>| {
        assert_eq!(writer.tensor().unwrap().name, "b");
        (0..8).for_each(|i| writer.piece(&[i, 2 * i]).unwrap());
        assert_eq!(writer.tensor().unwrap().name, "none");
        assert_eq!(writer.peek().unwrap().name, "a");
        writer.tensor().unwrap();
        writer.piece(&[7, 8, 9]).unwrap();
        writer
    };
    let bytes = fill(begin()).finish().unwrap().into_inner();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let parsed = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!((parsed.tensor("a").unwrap().data(), parsed.tensor("none").unwrap().shape()), (&[7u8, 8, 9][..], &[0, 3][..]));
    assert_eq!(parsed.tensor("b").unwrap().data()[14..], [7, 14]);
    let again = fill(begin()).finish_with(&text("tp")).unwrap().into_inner();
    assert_eq!(bytes.len(), again.len());
    assert_eq!(SafeTensors::read_metadata(&again).unwrap().1.metadata().as_ref().unwrap()["format"], "tp");
    assert_eq!(SafeTensors::deserialize(&again).unwrap().tensor("a").unwrap().data(), [7, 8, 9]);

    let misfit = |result: std::io::Result<()>, sentence: &str| {
        assert_eq!(result.unwrap_err().to_string(), format!("its writer was given {sentence}"));
    };
    let mut writer = begin();
    misfit(writer.piece(&[1]), "1 bytes too many for tensor none");
    writer.tensor().unwrap();
    misfit(writer.piece(&[0; 17]), "1 bytes too many for tensor b");
    writer.piece(&[0; 15]).unwrap();
    misfit(writer.tensor().map(drop), "1 bytes too few for tensor b");
    misfit(writer.finish().map(drop), "1 bytes too few for tensor b");
    misfit(begin().finish().map(drop), "tensor b not at all");
    misfit(fill(begin()).tensor().map(drop), "one tensor more than the header names");
    misfit(fill(begin()).finish_with(&text("much longer")).map(drop), "metadata of another length at the end");
    let huge = vec![entry("x", Dtype::F64, &[usize::MAX, 2])];
    let result = SafetensorsWriter::begin(Vec::new(), &text("pt"), huge).map(drop);
    misfit(result, "tensor x of type F64 [18446744073709551615, 2]");
}

use std::collections::{BTreeMap, HashMap};

use dmdx_train::TrainError;
use dmdx_train::store::atomic::{stream_atomically, write_atomically};
use dmdx_train::store::hash;
use dmdx_train::store::tensor_file::{Entry, TensorFile, TensorWriter, Tensors, Values, write};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Names that sort otherwise by length or case, a scalar, an empty tensor, one longer than a chunk.
fn tensors() -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
    vec![
        ("up.10.weight", vec![3, 2], vec![1.0, -2.0, 3.5, -0.0, f32::MIN_POSITIVE, f32::MAX]),
        ("Up.1.weight", vec![], vec![7.0]),
        ("up.1.weight", vec![0, 4], vec![]),
        ("conv_in \"quoted\" é", vec![40_000], (0..40_000).map(|i| i as f32).collect()),
    ]
}

#[test]
fn a_plain_file_is_what_the_reference_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = tensors();
    let entries = tensors.iter().map(|(name, shape, _)| Entry::f32(name.to_string(), shape.clone())).collect();
    stream_atomically(&path, |sink| {
        let mut writer = TensorWriter::begin_plain(sink, metadata(&[("format", "pt")]), entries).unwrap();
        while let Some(name) = writer.next().map(|entry| entry.name.clone()) {
            let (_, _, values) = tensors.iter().find(|(own, _, _)| *own == name).unwrap();
            writer.tensor(Values::F32(values)).unwrap();
        }
        writer.finish().map_err(|source| TrainError::Write { path: path.clone(), source })
    })
    .unwrap();
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes);
    let views = views.map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let wanted = safetensors::serialize(views, Some(HashMap::from([("format".to_string(), "pt".to_string())]))).unwrap();
    assert!(std::fs::read(&path).unwrap() == wanted);
    let error = TensorFile::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("model.safetensors is damaged: it does not have the hash of its contents"), "{error}");
}

#[test]
fn a_file_of_ours_comes_back_with_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (shape, ids) = ([2, 3], [1, 2, 3, u32::MAX, 5, 6]);
    let halves: Vec<half::f16> = (0..6).map(|i| half::f16::from_f32(i as f32)).collect();
    let tensors = Tensors::from([
        ("b", (&shape[..], Values::U32(&ids))),
        ("a", (&shape[..], Values::F16(&halves))),
        ("c", (&shape[..1], Values::F32(&[0.5, -0.0]))),
    ]);
    write_atomically(&path, |sink| write(sink, &metadata(&[("shard", "3")]), &tensors)).unwrap();
    let (file, sha256) = TensorFile::open_hashed(&path).unwrap();
    assert_eq!(sha256, hash::file(&path).unwrap());
    assert_eq!(file.metadata, metadata(&[("shard", "3")]));
    assert_eq!(file.u32("b").unwrap().unwrap(), ids);
    assert_eq!(file.f32("c").unwrap().unwrap()[1].to_bits(), (-0.0f32).to_bits());
    assert!(file.f32("a").unwrap().is_none() && file.u32("c").unwrap().is_none() && file.f32("d").unwrap().is_none());
}

#[test]
fn what_the_header_does_not_say_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let say = |given: &[Values<'_>]| {
        let entries = vec![Entry::f32("b".to_string(), vec![2]), Entry::f32("a".to_string(), vec![1])];
        let result = write_atomically(&path, |sink| {
            let mut writer = TensorWriter::begin(sink, &BTreeMap::new(), entries)?;
            given.iter().try_for_each(|values| writer.tensor(*values))?;
            writer.finish()
        });
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        match result.unwrap_err() {
            TrainError::Write { source, .. } => source.to_string(),
            other => panic!("{other}"),
        }
    };
    let (one, two) = (Values::F32(&[1.0]), Values::F32(&[1.0, 2.0]));
    assert_eq!(say(&[two]), "its writer was given tensor a of type F32 [1] as 2 values of type F32");
    assert_eq!(say(&[Values::U32(&[1])]), "its writer was given tensor a of type F32 [1] as 1 values of type U32");
    assert_eq!(say(&[one]), "its writer was given tensor b not at all");
    assert_eq!(say(&[one, two, one]), "its writer was given one tensor more than the header names");
}

#[test]
fn tensors_out_of_order_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let header = r#"{"__metadata__":{"content_sha256":"00"},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([1, 2]);
    std::fs::write(&path, bytes).unwrap();
    let error = TensorFile::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("is damaged: its tensors do not lie in the order of their names"), "{error}");
}

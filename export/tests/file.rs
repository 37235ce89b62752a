//! What a written file holds: the same bytes every time, sound external data, and a checker that finds what is broken.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use dmdx_export::onnx::WriteOptions;
use dmdx_export::onnx::proto::{ModelProto, StringStringEntryProto};

use dmdx_export::verify::{Sizes, WrittenModel, check_file, run_sizes};
use dmdx_export::{COMPAT, ExportError, GraphOptions, Names, Target, export_graph};
use dmdx_graph::{Dim, Graph, Op, Type};
use prost::Message;
use support::{verifier, weight};

/// Two layers; one weight is above the page limit of external data, one below the inline limit.
fn network() -> Graph {
    let mut graph = Graph::new("Network");
    let b = graph.symbol("b", "batch", 2);
    let x = graph.input("x", Type::f32([b, Dim::constant(3), Dim::constant(256)])).unwrap();
    let w = graph.param("layers.0.weight", &[1100, 256], Some(weight(1, &[1100, 256]))).unwrap();
    let c = graph.param("layers.0.bias", &[1100], Some(weight(2, &[1100]))).unwrap();
    let y = graph.push(Op::Linear, &[x, w, c], "layers.0").unwrap();
    let y = graph.push(Op::Silu, &[y], "layers.1").unwrap();
    let v = graph.param("layers.2.weight", &[4, 1100], Some(weight(3, &[4, 1100]))).unwrap();
    let d = graph.param("layers.2.bias", &[4], Some(weight(4, &[4]))).unwrap();
    let y = graph.push(Op::Linear, &[y, v, d], "layers.2 <- some-rule").unwrap();
    graph.output("y", y).unwrap();
    graph.output("again", y).unwrap();
    graph
}

fn write(folder: &Path, external_above: usize) -> PathBuf {
    let path = folder.join("model.onnx");
    let options = GraphOptions { write: WriteOptions { external_above }, ..GraphOptions::default() };
    export_graph(&network(), &path, &options).unwrap();
    path
}

fn read(path: &Path) -> ModelProto {
    ModelProto::decode(std::fs::read(path).unwrap().as_slice()).unwrap()
}

#[test]
fn the_same_graph_gives_the_same_bytes() {
    for external_above in [0, usize::MAX] {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (write(one.path(), external_above), write(two.path(), external_above));
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        let names = |folder: &Path| {
            let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(one.path()), names(two.path()));
        assert_eq!(names(one.path()).len(), if external_above == 0 { 2 } else { 1 });
        if external_above == 0 {
            let data = |folder: &Path| std::fs::read(folder.join("model.onnx_data")).unwrap();
            assert_eq!(data(one.path()), data(two.path()));
        }
        // Nothing of this machine is in the file.
        let bytes = std::fs::read(&a).unwrap();
        let folder = one.path().to_str().unwrap().as_bytes();
        assert!(!bytes.windows(folder.len()).any(|part| part == folder));
    }
}

#[test]
fn names_follow_the_reference_library() {
    let folder = tempfile::tempdir().unwrap();
    let graph = read(&write(folder.path(), usize::MAX)).graph.unwrap();
    let nodes: Vec<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
    let expected = [
        "layers.0/MatMul",
        "layers.0/Add",
        "layers.1/Sigmoid",
        "layers.1/Mul",
        "layers.2/MatMul",
        "layers.2/Add",
        "output/Identity",
    ];
    assert_eq!(nodes, expected);
    let weights: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    // What is not the reference's tensor does not bear its name.
    assert_eq!(weights, ["layers.0.bias", "layers.0.weight.transposed", "layers.2.bias", "layers.2.weight.transposed"]);
}

#[test]
fn large_tensors_are_aligned_and_small_ones_inline() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 0);
    let graph = read(&path).graph.unwrap();
    for tensor in &graph.initializer {
        let value =
            |key: &str| tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key)).map(|e| e.value.clone().unwrap());
        let bytes = 4 * tensor.dims.iter().product::<i64>();
        match value("offset") {
            None => assert!(bytes < 1024, "{}", tensor.name),
            Some(offset) => {
                let offset: i64 = offset.parse().unwrap();
                assert_eq!(offset % if bytes >= 1 << 20 { 4096 } else { 64 }, 0, "{}", tensor.name);
                assert_eq!(value("length"), Some(bytes.to_string()));
                assert_eq!(value("location").as_deref(), Some("model.onnx_data"));
            }
        }
    }
    // And engines read it.
    let graph = network();
    let model = WrittenModel { component: "network", graph: &graph, options: &GraphOptions::default(), path: &path };
    verifier().verify(&model, &run_sizes(&graph, &Sizes::new())[1..], &mut || Ok(())).unwrap();
}

/// A change that must be found, and words of the message that names it.
type Corruption = (&'static str, &'static str, fn(&mut ModelProto));

fn external(model: &mut ModelProto, name: &str) -> Vec<StringStringEntryProto> {
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap().external_data.clone()
}

fn set_external(model: &mut ModelProto, name: &str, key: &str, value: &str) {
    let graph = model.graph.as_mut().unwrap();
    let tensor = graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap();
    tensor.external_data.iter_mut().find(|e| e.key.as_deref() == Some(key)).unwrap().value = Some(value.into());
}

const CORRUPTIONS: &[Corruption] = &[
    ("IR version", "IR version", |m| m.ir_version = Some(14)),
    ("opset", "operator sets", |m| m.opset_import[0].version = Some(28)),
    ("node name twice", "used twice", |m| m.graph.as_mut().unwrap().node[1].name = "layers.0/MatMul".into()),
    ("value defined twice", "defined twice", |m| m.graph.as_mut().unwrap().node[1].output[0] = "layers.0/MatMul".into()),
    ("order", "before it is defined", |m| m.graph.as_mut().unwrap().node.swap(0, 1)),
    ("missing producer", "before it is defined", |m| m.graph.as_mut().unwrap().node[2].input[0] = "nobody".into()),
    ("illegal operation", "not legal", |m| m.graph.as_mut().unwrap().node[2].op_type = "Swish".into()),
    ("other domain", "not legal", |m| m.graph.as_mut().unwrap().node[2].domain = "com.microsoft".into()),
    ("no such output", "computed by nothing", |m| m.graph.as_mut().unwrap().output[0].name = "z".into()),
    ("element type", "is needed", |m| {
        m.graph.as_mut().unwrap().input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = 7
    }),
    ("unknown element type", "unknown element type", |m| m.graph.as_mut().unwrap().initializer[0].data_type = 77),
    ("negative size", "impossible sizes", |m| m.graph.as_mut().unwrap().initializer[0].dims = vec![-1]),
    ("overflowing size", "impossible sizes", |m| m.graph.as_mut().unwrap().initializer[0].dims = vec![1 << 40, 1 << 40]),
    ("inline length", "inline", |m| m.graph.as_mut().unwrap().initializer[2].dims = vec![5]),
    ("unused initializer", "read by nothing", |m| {
        let graph = m.graph.as_mut().unwrap();
        let mut copy = graph.initializer[2].clone();
        copy.name = "spare".into();
        graph.initializer.push(copy);
    }),
    ("past the end", "ends at byte", |m| set_external(m, "layers.0.weight.transposed", "offset", "1048576")),
    ("wrong length", "need", |m| set_external(m, "layers.0.weight.transposed", "length", "64")),
    ("huge length", "need", |m| set_external(m, "layers.0.weight.transposed", "length", "35184372088832")),
    ("negative offset", "number of bytes", |m| set_external(m, "layers.0.weight.transposed", "offset", "-64")),
    ("unaligned", "multiple", |m| set_external(m, "layers.0.bias", "offset", "4")),
    ("other file", "not the model's data file", |m| set_external(m, "layers.0.bias", "location", "../secret")),
    ("shared range", "shares bytes", |m| {
        let offset = external(m, "layers.0.weight.transposed")[1].value.clone().unwrap();
        set_external(m, "layers.0.bias", "offset", &offset);
    }),
    ("attribute type", "does not hold", |m| {
        let graph = m.graph.as_mut().unwrap();
        let attribute = dmdx_export::onnx::attribute::int("axis", 1);
        graph.node[2].attribute.push(dmdx_export::onnx::proto::AttributeProto { r#type: 1, ..attribute });
    }),
];

#[test]
fn the_checker_finds_every_corruption() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 0);
    check_file(&path, &COMPAT).unwrap();
    let sound = read(&path);
    for (name, words, corrupt) in CORRUPTIONS {
        let mut model = sound.clone();
        corrupt(&mut model);
        assert_ne!(model, sound, "{name} changes nothing");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let error = check_file(&path, &COMPAT).expect_err(name);
        assert!(matches!(error, ExportError::Invalid { .. }) && error.to_string().contains(words), "{name}: {error}");
    }
    // Bytes that no tensor owns, after the last one and inside the padding.
    std::fs::write(&path, sound.encode_to_vec()).unwrap();
    let data = folder.path().join("model.onnx_data");
    let bytes = std::fs::read(&data).unwrap();
    std::fs::write(&data, [bytes.as_slice(), &[0; 64]].concat()).unwrap();
    assert!(check_file(&path, &COMPAT).unwrap_err().to_string().contains("belong to nothing"));
    let mut dirty = bytes.clone();
    dirty[4 * 1100 + 1] = 1;
    std::fs::write(&data, dirty).unwrap();
    assert!(check_file(&path, &COMPAT).unwrap_err().to_string().contains("belong to nothing"));
    std::fs::write(&data, &bytes[..bytes.len() - 1]).unwrap();
    assert!(check_file(&path, &COMPAT).unwrap_err().to_string().contains("ends at byte"));
    std::fs::write(&path, b"not a model").unwrap();
    assert!(check_file(&path, &COMPAT).unwrap_err().to_string().contains("not a model message"));
}

#[test]
fn an_unknown_target_lists_the_targets() {
    let message = Target::by_name("modern-art").unwrap_err().to_string();
    assert_eq!(message, "there is no export target `modern-art`; the targets are compat");
}

#[test]
fn names_that_collide_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = |pairs: &[(&str, &str)]| {
        let names = Names { outputs: pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(), ..Names::default() };
        GraphOptions { names, ..GraphOptions::default() }
    };
    for (pairs, words) in
        [([("y", "x")], "used twice"), ([("y", "layers.0.bias")], "name of a parameter"), ([("y", "")], "is empty")]
    {
        let error = export_graph(&network(), &folder.path().join("m.onnx"), &options(&pairs)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_parameter_without_data_is_named() {
    let mut graph = Graph::new("Empty");
    let x = graph.input("x", Type::f32([2usize, 3])).unwrap();
    let w = graph.param("layer.weight", &[4, 3], None).unwrap();
    let y = graph.push(Op::Linear, &[x, w], "layer").unwrap();
    graph.output("y", y).unwrap();
    let error = export_graph(&graph, Path::new("unused.onnx"), &GraphOptions::default()).unwrap_err();
    assert!(error.to_string().contains("parameter `layer.weight` has no data"), "{error}");
}

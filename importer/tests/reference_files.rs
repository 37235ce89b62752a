//! Reference files that are unusual or broken, and what a comparison does with them.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use dmdx_graph::{Graph, Op, Type};
use dmdx_importer::check::{self, Kind, Row};
use dmdx_importer::reference::{RefTensor, RefValues, ReferenceFile};
use safetensors::tensor::{Dtype, TensorView};

enum Data {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

/// Writes a reference file with these tensors.
fn write(path: &Path, tensors: &[(&str, &[usize], Data)], metadata: &[(&str, &str)]) {
    let bytes: Vec<(Dtype, Vec<u8>)> = tensors
        .iter()
        .map(|(_, _, data)| match data {
            Data::F32(values) => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Data::I64(values) => (Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), (dtype, bytes))| (name.to_string(), TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    safetensors::serialize_to_file(views, Some(metadata), path).unwrap();
}

/// `out = x + t` with `x [b, 2], t [b]`, and a mark on `t`.
fn network() -> Graph {
    let mut graph = Graph::new("network");
    let b = graph.symbol("b", "batch", 1);
    let x = graph.input("x", Type::f32([b.clone(), 2.into()])).unwrap();
    let t = graph.input("t", Type::f32([b.clone()])).unwrap();
    let column = graph.push(Op::Reshape { shape: [b, 1.into()].into() }, &[t], "t").unwrap();
    let sum = graph.push(Op::Add, &[x, column], "").unwrap();
    graph.output("out", sum).unwrap();
    graph.mark("t", column);
    graph
}

fn open(tensors: &[(&str, &[usize], Data)], metadata: &[(&str, &str)]) -> Result<ReferenceFile, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("io.safetensors");
    write(&path, tensors, metadata);
    ReferenceFile::open(&path).map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "DIR"))
}

fn x() -> (&'static str, &'static [usize], Data) {
    ("in.x", &[2, 2], Data::F32(vec![1.0, 2.0, 3.0, 4.0]))
}

fn out() -> (&'static str, &'static [usize], Data) {
    ("out.out", &[2, 2], Data::F32(vec![8.0, 9.0, 10.0, 11.0]))
}

#[test]
fn integer_and_scalar_timesteps_are_converted() {
    let timesteps: [(&[usize], Data); 4] =
        [(&[], Data::I64(vec![7])), (&[1], Data::I64(vec![7])), (&[2], Data::I64(vec![7, 7])), (&[], Data::F32(vec![7.0]))];
    for (shape, data) in timesteps {
        let file = open(&[x(), out(), ("in.t", shape, data)], &[("args", r#"["x", "t"]"#)]).unwrap();
        let report = check::check_graph("network", &network(), &file, 0.0).unwrap();
        assert!(report.passed(), "{report}");
        assert_eq!(file.args, ["x", "t"]);
    }
}

#[test]
fn files_that_contradict_themselves_are_refused() {
    let t = || ("in.t", &[2][..], Data::F32(vec![7.0, 7.0]));
    let unknown = open(&[x(), out(), ("weights.x", &[1], Data::F32(vec![0.0]))], &[]).unwrap_err();
    insta::assert_snapshot!(unknown, @"the reference file `DIR/io.safetensors`: the key `weights.x` does not begin with in., out., act., grad.in. or grad.param.");
    let args = open(&[x(), out(), t()], &[("args", r#"["x"]"#)]).unwrap_err();
    insta::assert_snapshot!(args, @r#"the reference file `DIR/io.safetensors`: the metadata `args` lists ["x"], the file holds ["t", "x"]"#);
    let list = open(&[x(), out(), t()], &[("args", "x t")]).unwrap_err();
    insta::assert_snapshot!(list, @"the reference file `DIR/io.safetensors`: the metadata `args` is not a JSON list of names (expected value at line 1 column 1)");
    let empty = open(&[x(), t()], &[]).unwrap_err();
    insta::assert_snapshot!(empty, @"the reference file `DIR/io.safetensors`: it needs at least one `in.*` and one `out.*` tensor");
}

#[test]
fn what_the_network_does_not_have_fails() {
    let t = ("in.t", &[2][..], Data::F32(vec![7.0, 7.0]));
    let good = ("act.t", &[2, 1][..], Data::F32(vec![7.0, 7.0]));
    let unknown = ("act.mid_block", &[1][..], Data::F32(vec![0.0]));
    let other = ("act.t:1", &[1][..], Data::F32(vec![0.0]));
    let file = open(&[x(), out(), t, good, unknown, other], &[]).unwrap();
    let report = check::check_graph("network", &network(), &file, 1e-4).unwrap();
    assert!(!report.passed());
    insta::assert_snapshot!(report, @r"
    network
      output      out           0.00e0  of   1.0e-4  ok
      activation  mid_block        NaN  of   1.0e-4  FAILED: the network has no value of this name
      activation  t             0.00e0  of   1.0e-4  ok
      activation  t:1              NaN  of   1.0e-4  FAILED: the network has no value of this name
    2 of 4 tensors do not agree with the reference
    ");
}

#[test]
fn errors_beyond_the_tolerance_and_values_that_are_not_finite_fail() {
    let reference = RefTensor { shape: vec![2], values: RefValues::Float(vec![1.0, -4.0]) };
    let row = |values: &[f64], tolerance| Row::compare(Kind::Output, "y", &reference, &[2], values, tolerance);
    assert!(row(&[1.0, -4.5], 0.5).ok);
    assert!(!row(&[1.0, -4.5], 0.49).ok);
    assert!(!row(&[f64::NAN, -4.0], 1e9).ok);
    assert!(!row(&[1.0, f64::INFINITY], 1e9).ok);
    assert!(!Row::compare(Kind::Output, "y", &reference, &[1, 2], &[1.0, -4.0], 1e9).ok);
    let relative = Row::compare_relative(Kind::Gradient, "y", &reference, &[2], &[1.003, -4.0], 1e-3);
    assert_eq!((relative.ok, relative.tolerance), (true, 4e-3));
}

#[test]
fn one_element_is_not_repeated_beyond_reason() {
    let mut graph = Graph::new("network");
    let t = graph.input("t", Type::f32([1usize << 40])).unwrap();
    graph.output("out", t).unwrap();
    let file = open(&[("in.t", &[1], Data::F32(vec![7.0])), ("out.out", &[1], Data::F32(vec![7.0]))], &[]).unwrap();
    // Left as it is; binding it to the network's shape is what fails.
    assert_eq!(file.inputs_for(&graph).unwrap()["t"].shape, [1]);
}

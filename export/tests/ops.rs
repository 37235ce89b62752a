//! Every operation as a one-op model: reference library = interpreter = tract = ONNX Runtime, and refusals by name.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use dmdx_export::verify::{Sizes, WrittenModel, run_sizes};
use dmdx_export::{ExportError, GraphOptions, TARGETS, export_graph};
use dmdx_graph::ir::{Interpolation, PoolRule, ReduceKind};
use dmdx_graph::{DType, Dim, Graph, Op, Shape, Type, ValueId};
use support::{op_cases, verifier, weight};

/// Engines in f32 against references in f64, to each case's tolerance (fixtures/ops/README.md), for every target.
#[test]
fn every_operation_agrees_with_its_reference() {
    let folder = tempfile::tempdir().unwrap();
    for target in TARGETS {
        let mut verifier = verifier();
        let (mut seen, mut refused) = (BTreeSet::new(), BTreeSet::new());
        let mut failures = Vec::new();
        let mut worst = 0.0f64;
        let options = GraphOptions { target, ..GraphOptions::default() };
        for case in op_cases() {
            let path = folder.path().join(format!("{}.onnx", case.name));
            match export_graph(&case.graph, &path, &options) {
                Ok(_) => seen.insert(case.op.name()),
                Err(ExportError::Refused { refused: sentences, .. }) => {
                    assert!(sentences.len() == 1 && sentences[0].starts_with("case: "), "{sentences:?}");
                    refused.insert(case.name);
                    continue;
                }
                Err(error) => {
                    failures.push(format!("{}: {error}", case.name));
                    continue;
                }
            };
            verifier.tolerance = Some(case.tolerance);
            let model = WrittenModel { component: &case.name, graph: &case.graph, options: &options, path: &path };
            let expected = BTreeMap::from([("y".to_string(), case.expected)]);
            match verifier.compare(&model, &case.inputs, &expected) {
                Ok(measured) => {
                    let missed = measured.iter().filter_map(|one| Some(format!("{}: {}", one.engine, one.problem.as_ref()?)));
                    failures.extend(missed.map(|missed| format!("{}: {missed}", case.name)));
                    if case.tolerance <= 1e-5 {
                        worst = measured.iter().fold(worst, |most, one| most.max(one.relative));
                    }
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
        println!(
            "{}: {} operations, largest relative error {worst:.1e}, engines {:?}",
            target.name,
            seen.len(),
            verifier.engines()
        );
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        // Every operation of the IR is there, and only what cannot be float32 is refused.
        if target.name == "compat" {
            let every: BTreeSet<&str> = op_cases().iter().map(|case| case.op.name()).collect();
            assert_eq!(seen, every);
            assert_eq!(refused, BTreeSet::from(["layout.cast_bf16".to_string(), "layout.cast_f16".to_string()]));
        }
    }
}

struct Symbolic {
    graph: Graph,
    b: Dim,
    s: Dim,
    h: Dim,
    w: Dim,
}

impl Symbolic {
    fn new() -> Self {
        let mut graph = Graph::new("symbolic");
        let b = graph.symbol("b", "batch", 2);
        let s = graph.symbol("s", "tokens", 6);
        let h = graph.symbol("h", "height / 2", 3).scaled(2);
        let w = graph.symbol("w", "width / 2", 2).scaled(2);
        Self { graph, b, s, h, w }
    }

    fn finish(mut self, op: Op, inputs: &[ValueId]) -> Graph {
        let y = self.graph.push(op, inputs, "module").unwrap();
        self.graph.output("y", y).unwrap();
        self.graph
    }

    fn picture(&mut self, channels: usize) -> ValueId {
        let shape = [self.b.clone(), channels.into(), self.h.clone(), self.w.clone()];
        self.graph.input("x", Type::f32(shape)).unwrap()
    }

    fn tokens(&mut self, width: usize) -> ValueId {
        self.graph.input("x", Type::f32([self.b.clone(), self.s.clone(), width.into()])).unwrap()
    }
}

/// Graphs whose shapes must be computed while they run.
fn symbolic_graphs() -> Vec<(&'static str, Graph)> {
    let mut graphs = Vec::new();
    let mut add = |name, build: &dyn Fn(Symbolic) -> Graph| graphs.push((name, build(Symbolic::new())));
    add("group_norm", &|mut g| {
        let x = g.picture(6);
        let w = g.graph.param("w", &[6], Some(weight(1, &[6]))).unwrap();
        let c = g.graph.param("c", &[6], Some(weight(2, &[6]))).unwrap();
        g.finish(Op::GroupNorm { groups: 3, eps: 1e-5, silu: true }, &[x, w, c])
    });
    add("picture_to_tokens_and_back", &|mut g| {
        let x = g.picture(4);
        let flat = Shape(vec![g.b.clone(), 4.into(), g.h.times(&g.w)]);
        let tokens = g.graph.push(Op::Reshape { shape: flat }, &[x], "m").unwrap();
        let tokens = g.graph.push(Op::Permute { axes: vec![0, 2, 1] }, &[tokens], "m").unwrap();
        let shape = Shape(vec![g.b.clone(), g.h.clone(), g.w.clone(), 4.into()]);
        let whole = g.graph.push(Op::Reshape { shape }, &[tokens], "m").unwrap();
        g.finish(Op::Permute { axes: vec![0, 3, 1, 2] }, &[whole])
    });
    add("heads", &|mut g| {
        let x = g.tokens(6);
        let split = Shape(vec![g.b.clone(), g.s.clone(), 2.into(), 3.into()]);
        let split = g.graph.push(Op::Reshape { shape: split }, &[x], "m").unwrap();
        let q = g.graph.push(Op::Permute { axes: vec![0, 2, 1, 3] }, &[split], "m").unwrap();
        let causal = g.graph.push(Op::Sdpa { scale: 0.5, causal: true }, &[q, q, q], "m").unwrap();
        let back = g.graph.push(Op::Permute { axes: vec![0, 2, 1, 3] }, &[causal], "m").unwrap();
        let joined = Shape(vec![g.b.clone(), g.s.clone(), 6.into()]);
        g.finish(Op::Reshape { shape: joined }, &[back])
    });
    add("expand_and_slice", &|mut g| {
        let x = g.tokens(3);
        let table = g.graph.param("table", &[8, 3], Some(weight(3, &[8, 3]))).unwrap();
        let slice = Op::Slice { axis: 0, start: Dim::constant(0), length: g.s.clone() };
        let rows = g.graph.push(slice, &[table], "m").unwrap();
        let shape = Shape(vec![g.b.clone(), g.s.clone(), 3.into()]);
        let rows = g.graph.push(Op::Expand { shape }, &[rows], "m").unwrap();
        g.finish(Op::Add, &[x, rows])
    });
    add("up_concat", &|mut g| {
        let x = g.picture(2);
        let up = g.graph.push(Op::UpNearest { factor: 2 }, &[x], "m").unwrap();
        let pads = vec![[0, 0], [0, 0], [1, 0], [0, 2]];
        let padded = g.graph.push(Op::Pad { pads, value: 0.0 }, &[up], "m").unwrap();
        let same = g.graph.push(Op::Tanh, &[padded], "m").unwrap();
        g.finish(Op::Concat { axis: 1 }, &[padded, same])
    });
    add("time_and_pool", &|mut g| {
        let x = g.tokens(4);
        let ids = g.graph.input("ids", Type::i64([g.b.clone(), g.s.clone()])).unwrap();
        let t = g.graph.input("t", Type::f32([g.b.clone(), 3.into()])).unwrap();
        let flat = Shape(vec![g.b.scaled(3)]);
        let t = g.graph.push(Op::Reshape { shape: flat }, &[t], "m").unwrap();
        let embed = Op::TimestepEmbed { dim: 4, flip_sin_to_cos: true, freq_shift: 0.0, max_period: 100.0 };
        let e = g.graph.push(embed, &[t], "m").unwrap();
        let shape = Shape(vec![g.b.clone(), 12.into()]);
        let e = g.graph.push(Op::Reshape { shape }, &[e], "m").unwrap();
        let token = g.graph.push(Op::PoolToken { rule: PoolRule::FirstEqual(7) }, &[x, ids], "m").unwrap();
        g.finish(Op::Concat { axis: 1 }, &[token, e])
    });
    add("windows", &|mut g| {
        let x = g.graph.input("x", Type::f32([g.b.clone(), 5.into(), 4.into(), 3.into()])).unwrap();
        let parts = g.graph.push(Op::WindowPartition { window: 3 }, &[x], "m").unwrap();
        let parts = g.graph.push(Op::Affine { mul: 2.0, add: 1.0 }, &[parts], "m").unwrap();
        g.finish(Op::WindowMerge { window: 3, height: 5, width: 4 }, &[parts])
    });
    add("volume", &|mut g| {
        let shape = [g.b.clone(), 2.into(), g.s.clone(), g.h.clone(), g.w.clone()];
        let x = g.graph.input("x", Type::f32(shape)).unwrap();
        let w = g.graph.param("w", &[3, 2, 3, 3, 1], Some(weight(5, &[3, 2, 3, 3, 1]))).unwrap();
        let conv = Op::Conv3d { stride: [1, 2, 1], padding: [2, 1, 0, 0, 0, 1], dilation: [1; 3], groups: 1 };
        g.finish(conv, &[x, w])
    });
    add("pools", &|mut g| {
        let x = g.picture(2);
        let (kernel, stride) = ([2, 2], [2, 2]);
        let top = g.graph.push(Op::MaxPool2d { kernel, stride, padding: [0; 4] }, &[x], "m").unwrap();
        let mean = Op::AvgPool2d { kernel, stride, padding: [0; 4], count_padding: false };
        let mean = g.graph.push(mean, &[x], "m").unwrap();
        g.finish(Op::Concat { axis: 1 }, &[top, mean])
    });
    for interleaved in [true, false] {
        add(if interleaved { "rotated_neighbours" } else { "rotated_halves" }, &|mut g| {
            let shape = [g.b.clone(), 2.into(), g.s.clone(), 4.into()];
            let x = g.graph.input("x", Type::f32(shape)).unwrap();
            let table = [g.s.clone(), 4.into()];
            let cos = g.graph.input("cos", Type::f32(table.clone())).unwrap();
            let sin = g.graph.input("sin", Type::f32(table)).unwrap();
            let rotated = g.graph.push(Op::Rope { interleaved }, &[x, cos, sin], "m").unwrap();
            g.finish(Op::RmsNorm { eps: 1e-6 }, &[rotated])
        });
    }
    for bidirectional in [true, false] {
        add(if bidirectional { "buckets_both_ways" } else { "buckets_of_a_decoder" }, &|mut g| {
            let x = g.graph.input("x", Type::f32([g.b.clone(), 2.into(), g.s.clone(), g.s.clone()])).unwrap();
            let table = g.graph.param("table", &[8, 2], Some(weight(6, &[8, 2]))).unwrap();
            let bias = Op::BucketBias { max_distance: 5, bidirectional, length: g.s.clone() };
            let bias = g.graph.push(bias, &[table], "m").unwrap();
            g.finish(Op::Add, &[x, bias])
        });
    }
    add("cropped_table", &|mut g| {
        let tokens = g.h.times(&g.w);
        let x = g.graph.input("x", Type::f32([g.b.clone(), g.h.clone(), g.w.clone(), 3.into()])).unwrap();
        let flat = Shape(vec![g.b.clone(), tokens, 3.into()]);
        let x = g.graph.push(Op::Reshape { shape: flat }, &[x], "m").unwrap();
        let table = g.graph.param("table", &[1, 225, 3], Some(weight(7, &[1, 225, 3]))).unwrap();
        let crop = Op::CropTable { side: 15, height: g.h.clone(), width: g.w.clone() };
        let crop = g.graph.push(crop, &[table], "m").unwrap();
        g.finish(Op::Add, &[x, crop])
    });
    add("positions_of_a_film", &|mut g| {
        let x = g.graph.input("x", Type::f32([g.s.clone(), g.h.clone(), g.w.clone(), 32.into()])).unwrap();
        let flat = Shape(vec![1.into(), g.s.times(&g.h).times(&g.w), 32.into()]);
        let x = g.graph.push(Op::Reshape { shape: flat }, &[x], "m").unwrap();
        let (frames, height, width) = (g.s.clone(), g.h.clone(), g.w.clone());
        let table = Op::SincosTable3d { dim: 32, frames, height, width, spatial_scale: 1.875, temporal_scale: 1.5 };
        let table = g.graph.push(table, &[], "m").unwrap();
        g.finish(Op::Add, &[x, table])
    });
    for mode in [Interpolation::Bilinear, Interpolation::Bicubic] {
        add(if mode == Interpolation::Bicubic { "resized_bicubic" } else { "resized_bilinear" }, &|mut g| {
            let x = g.picture(2);
            let up = Op::Resize { mode, height: g.h.offset(3), width: g.w.scaled(2) };
            let up = g.graph.push(up, &[x], "m").unwrap();
            let width = g.w.clone();
            g.finish(Op::Resize { mode, height: Dim::constant(5), width }, &[up])
        });
    }
    add("computed_weights", &|mut g| {
        let x = g.tokens(4);
        let w = g.graph.param("w", &[4, 4], Some(weight(4, &[4, 4]))).unwrap();
        let half = g.graph.push(Op::Affine { mul: 0.5, add: 0.0 }, &[w], "m").unwrap();
        let y = g.graph.push(Op::Linear, &[x, half], "m").unwrap();
        let y = g.graph.push(Op::Linear, &[y, w], "m").unwrap();
        let mean = Op::Reduce { kind: ReduceKind::Mean, axes: vec![1], keep_dims: false };
        let pooled = g.graph.push(mean, &[y], "m").unwrap();
        // The same weight as a matrix product's plain operand.
        g.finish(Op::MatMul { transpose_a: false, transpose_b: false }, &[pooled, w])
    });
    graphs
}

/// Shapes computed at run time fit other sizes than the usual ones.
#[test]
fn symbolic_shapes_follow_the_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let verifier = verifier();
    let mut failures = Vec::new();
    for (name, graph) in symbolic_graphs() {
        let path = folder.path().join(format!("{name}.onnx"));
        if let Err(error) = export_graph(&graph, &path, &GraphOptions::default()) {
            failures.push(format!("{name}: {error}"));
            continue;
        }
        let model = WrittenModel { component: name, graph: &graph, options: &GraphOptions::default(), path: &path };
        match verifier.verify(&model, &run_sizes(&graph, &Sizes::new()), &mut || Ok(())) {
            Ok(measured) => failures.extend(measured.into_iter().filter_map(|one| Some(format!("{name}: {}", one.problem?)))),
            Err(error) => failures.push(error.to_string()),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// All refusals come at once, with the module and the reason.
#[test]
fn refusals_are_listed_together() {
    let mut graph = Graph::new("two");
    let x = graph.input("x", Type::f32([2usize])).unwrap();
    let half = graph.push(Op::Cast { dtype: DType::F16 }, &[x], "a.b").unwrap();
    let byte = graph.push(Op::Cast { dtype: DType::BF16 }, &[x], "c.d").unwrap();
    graph.output("half", half).unwrap();
    graph.output("byte", byte).unwrap();
    let error = export_graph(&graph, std::path::Path::new("unused.onnx"), &GraphOptions::default()).unwrap_err();
    let ExportError::Refused { refused, .. } = &error else { panic!("{error}") };
    assert_eq!(refused.len(), 2);
    assert!(refused[0].starts_with("a.b: cast,") && refused[1].starts_with("c.d: cast,"), "{error}");
}

//! Random small graphs: neutral families keep results, text keeps graphs, and no text makes the parser panic.

use dmdx_graph::ir::ReduceKind;
use dmdx_graph::rewrite::{FAMILIES, RewriteOptions, Trainable};
use dmdx_graph::{Graph, Op, Shape, Type, ValueId, interp, text};
use proptest::prelude::*;

use crate::values::{difference_from, fill, inputs};

/// One attempt to add an operation: which one, on which values, and whether the result is kept visible.
type Step = (u8, u8, u8, u8);

fn operation(kind: u8, variant: u8, shape: &Shape) -> Op {
    let flag = variant.is_multiple_of(2);
    let rank = shape.rank();
    match kind % 18 {
        0 => Op::Silu,
        1 => Op::GroupNorm { groups: 2, eps: 1e-3, silu: false },
        2 => Op::Reshape { shape: if flag { shape.clone() } else { Shape(vec![shape.elements()]) } },
        3 => Op::Reshape { shape: Shape(shape.0.iter().rev().cloned().collect()) },
        4 => Op::Permute {
            axes: if flag { (0..rank).rev().collect() } else { (0..rank).map(|i| (i + 1) % rank.max(1)).collect() },
        },
        5 => Op::Permute { axes: (0..rank).collect() },
        6 => Op::Affine { mul: f64::from(variant) / 200.0, add: 0.25 },
        7 => Op::Add,
        8 => Op::Mul,
        9 => Op::Sub,
        10 => Op::Cast { dtype: if flag { dmdx_graph::DType::F32 } else { dmdx_graph::DType::F16 } },
        11 => Op::Linear,
        12 => Op::Softmax { axis: usize::from(variant) % rank.max(1) },
        13 => Op::Reduce { kind: ReduceKind::Mean, axes: vec![usize::from(variant) % rank.max(1)], keep_dims: flag },
        14 => Op::Slice { axis: rank.saturating_sub(1), start: 1.into(), length: 2.into() },
        15 => Op::Concat { axis: usize::from(variant) % rank.max(1) },
        16 => Op::MatMul { transpose_a: flag, transpose_b: variant.is_multiple_of(3) },
        _ => Op::Gelu { tanh: flag },
    }
}

fn build(steps: &[Step]) -> Graph {
    let mut graph = Graph::new("random");
    let b = graph.symbol("b", "batch", 3);
    let mut values: Vec<ValueId> = vec![
        graph.input("x", Type::f32([b.clone(), 4.into(), 4.into()])).unwrap(),
        graph.input("z", Type::f32([4, 4])).unwrap(),
        graph.param("w", &[4, 4], None).unwrap(),
        graph.param("u", &[1, 4, 4], None).unwrap(),
    ];
    let (scale, shift) = (graph.param("scale", &[4], None).unwrap(), graph.param("shift", &[4], None).unwrap());
    for (i, &(kind, a, c, variant)) in steps.iter().enumerate() {
        let first = values[usize::from(a) % values.len()];
        let second = values[usize::from(c) % values.len()];
        let op = operation(kind, variant, &graph.value(first).ty.shape);
        let operands = match op {
            Op::GroupNorm { .. } => vec![first, scale, shift],
            Op::Add | Op::Mul | Op::Sub | Op::Linear | Op::Concat { .. } | Op::MatMul { .. } => vec![first, second],
            _ => vec![first],
        };
        // Most random operands do not fit; inference says so, and the step is skipped.
        if let Ok(id) = graph.push(op, &operands, &format!("step.{i}")) {
            values.push(id);
            if variant > 200 {
                graph.mark(&format!("step.{i}"), id);
            }
        }
    }
    for (i, id) in values.iter().rev().take(2).enumerate() {
        graph.output(&format!("y{i}"), *id).unwrap();
    }
    fill(&mut graph);
    graph
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(any::<Step>(), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn neutral_families_keep_results(steps in steps()) {
        let before = build(&steps);
        let values = inputs(&before);
        let reference = interp::run(&before, &values).unwrap();
        let has_cast = before.values().any(|(id, _)| before.op(id).is_some_and(|(op, _)| op.name() == "cast"));
        for family in FAMILIES.iter().filter(|family| family.neutral) {
            // Folded parameters are rounded to f32, and casts to f16 turn that into one unit of f16.
            for (trainable, limit) in [(Trainable::All, 2e-3), (Trainable::Nothing, 1e-2)] {
                let options = RewriteOptions { trainable };
                let mut after = before.clone();
                let log = family.apply(&mut after, &options).unwrap();
                let limit = if has_cast { limit } else if options.trainable == Trainable::All { 1e-9 } else { 1e-4 };
                // Values are about 1. Where they cancel, nothing but rounding is left: of folding and casts to 1, of f64 to less.
                let exact = !has_cast && options.trainable == Trainable::All;
                let smallest = if exact { 1e-6 } else { 1.0 };
                let change = difference_from(smallest, &reference, &interp::run(&after, &values).unwrap());
                prop_assert!(change <= limit, "{change:e}\n{}\n{}\n{log}", text::print(&before), text::print(&after));
                prop_assert!(family.apply(&mut after, &options).unwrap().fired.is_empty());
                prop_assert_eq!(after.marks().keys().collect::<Vec<_>>(), before.marks().keys().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn text_keeps_graphs(steps in steps()) {
        let mut graph = build(&steps);
        let printed = text::print(&graph);
        let mut parsed = text::parse(&printed).unwrap();
        prop_assert_eq!(text::print(&parsed), printed);
        graph.remove_dead();
        fill(&mut parsed);
        let values = inputs(&graph);
        prop_assert_eq!(interp::run(&graph, &values).unwrap(), interp::run(&parsed, &values).unwrap());
    }

    #[test]
    fn no_text_makes_the_parser_panic(steps in steps(), edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = text::print(&build(&steps)).into_bytes();
        for (position, byte) in edits {
            let at = usize::from(position) % bytes.len();
            match byte % 3 {
                0 => bytes[at] = byte / 3,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"%@{}[]:\"0-9,* \n#"[usize::from(byte) % 16]),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Ok(graph) = text::parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(graph.verify().is_ok());
            // What was accepted can be printed, read and printed again.
            let printed = text::print(&graph);
            prop_assert_eq!(text::print(&text::parse(&printed).unwrap()), printed);
        }
    }
}

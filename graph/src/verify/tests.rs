#![allow(clippy::unwrap_used)]
//! Every invariant, broken once on purpose.

use super::*;
use crate::ir::{Op, Output};
use crate::weights::Weight;

struct Sample {
    graph: Graph,
    x: ValueId,
    hidden: ValueId,
    y: ValueId,
}

fn sample() -> Sample {
    let mut graph = Graph::new("sample");
    let rows = graph.symbol("rows", "rows of x", 3);
    let x = graph.input("x", Type::f32([rows, 4.into()])).unwrap();
    let weight = graph.param("weight", &[2, 4], None).unwrap();
    let hidden = graph.push(Op::Linear, &[x, weight], "layer").unwrap();
    let y = graph.push(Op::Silu, &[hidden], "act").unwrap();
    graph.mark("layer", hidden);
    graph.output("y", y).unwrap();
    graph.verify().unwrap();
    Sample { graph, x, hidden, y }
}

fn defects(graph: &Graph) -> String {
    match graph.verify() {
        Err(GraphError::Invalid { defects, .. }) => defects.join("\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_type_is_found() {
    let Sample { mut graph, y, .. } = sample();
    graph.corrupt(y, |value| value.ty = Type::f32([3, 2]));
    assert_eq!(defects(&graph), "act: silu has type f32[3, 2], its inputs give f32[rows, 2]");
}

#[test]
fn all_defects_come_at_once() {
    let Sample { mut graph, x, hidden, y, .. } = sample();
    graph.corrupt(hidden, |value| value.ty = Type::f32(["other"].map(Dim::symbol)));
    graph.corrupt(x, |value| value.def = Def::Input("z".into()));
    graph.set_outputs(vec![Output { name: "y".into(), value: y }, Output { name: "y".into(), value: y }]);
    let text = defects(&graph);
    for part in
        ["input `x` does not name its value", "input `z` is not in the list", "symbol `other` is not declared", "output `y`"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_cycle_is_found_and_ends() {
    let Sample { mut graph, hidden, y, .. } = sample();
    graph.corrupt(hidden, |value| value.def = Def::Op { op: Op::Silu, inputs: [y].as_slice().into() });
    assert_eq!(defects(&graph), "layer: the value depends on itself");
}

#[test]
fn a_removed_value_is_missed() {
    let Sample { mut graph, hidden, .. } = sample();
    let stray = graph.push(Op::Neg, &[hidden], "stray").unwrap();
    graph.remove_dead();
    graph.mark("stray", stray);
    assert_eq!(defects(&graph), "mark `stray` names a value that does not exist");
    graph.retain_marks(|path| path != "stray");
    graph.corrupt(hidden, |value| value.def = Def::Op { op: Op::Silu, inputs: [stray].as_slice().into() });
    assert!(defects(&graph).contains("layer: silu reads a value that does not exist"));
}

#[test]
fn an_integer_weight_does_not_fit_a_float_parameter() {
    let Sample { mut graph, .. } = sample();
    graph.set_weight("weight", Weight::owned(vec![0; 8].into(), DType::U8, vec![2, 4]).unwrap()).unwrap();
    assert_eq!(defects(&graph), "parameter `weight` of type f32[2, 4] has a weight of type u8");
}

#[test]
fn attributes_are_finite() {
    let Sample { mut graph, y, .. } = sample();
    let clamped = graph.push(Op::Clamp { min: f64::NEG_INFINITY, max: 0.0 }, &[y], "limit").unwrap();
    graph.output("limit", clamped).unwrap();
    assert_eq!(defects(&graph), "limit: clamp has an attribute that is not a finite number");
}

#[test]
fn a_symbol_needs_a_plain_name() {
    let Sample { mut graph, .. } = sample();
    graph.symbol("a+b", "a sum", 2);
    assert!(defects(&graph).contains("symbol `a+b` is not made of letters"));
}

#[test]
fn three_thousand_operations_verify() {
    let mut graph = Graph::new("chain");
    let mut value = graph.input("x", Type::f32([2, 320, 64, 64])).unwrap();
    let weight = graph.param("weight", &[320, 320, 3, 3], None).unwrap();
    let attributes = Op::Conv2d { stride: [1, 1], padding: [1; 4], dilation: [1, 1], groups: 1 };
    for i in 0..3000 {
        value = graph.push(attributes.clone(), &[value, weight], &format!("block.{i}")).unwrap();
    }
    graph.output("y", value).unwrap();
    graph.verify().unwrap();
}

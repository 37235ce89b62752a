//! What the simplifying family does as a whole.

use dmdx_graph::rewrite::{RewriteLog, RewriteOptions, SIMPLIFY, Trainable};
use dmdx_graph::{Graph, Op, text};

use crate::values::fill;

fn load(source: &str) -> Graph {
    let mut graph = text::parse(source).unwrap_or_else(|error| panic!("{error}\n{source}"));
    fill(&mut graph);
    graph
}

fn simplify(graph: &mut Graph) -> RewriteLog {
    SIMPLIFY.apply(graph, &RewriteOptions::default()).unwrap()
}

#[test]
fn trainable_parameters_are_never_folded() {
    let source = "graph 1 g\ninput %0 x : f32[2, 6]\nparam w : f32[2, 3, 4]\n%1 = permute @w {\"axes\":[2,0,1]} : f32[4, 2, 3]\n\
                  %2 = reshape %1 {\"shape\":[4,6]} : f32[4, 6]\n%3 = linear %0 %2 : f32[2, 4]\noutput y %3\n";
    let mut graph = load(source);
    let log = simplify(&mut graph);
    assert_eq!(log.count("fold-constants"), 0);
    assert!(graph.params().contains_key("w"));
    let log = SIMPLIFY.apply(&mut graph, &RewriteOptions { trainable: Trainable::Nothing }).unwrap();
    assert_eq!(log.count("fold-constants"), 2);
    assert_eq!(graph.params().keys().map(|name| &**name).collect::<Vec<_>>(), ["w.permute.reshape"]);
}

#[test]
fn the_family_reports_what_it_did() {
    let source = "graph 1 block\nsymbol b 2 \"batch\"\ninput %0 x : f32[b, 4, 3, 3]\nparam n.b : f32[4]\nparam n.w : f32[4]\nparam unused : f32[9]\n\
        %1 = reshape %0 {\"shape\":[\"b\",4,3,3]} : f32[b, 4, 3, 3]  # view\n\
        %2 = group_norm %1 @n.w @n.b {\"groups\":2,\"eps\":1e-6,\"silu\":false} : f32[b, 4, 3, 3]  # norm1\n\
        %3 = silu %2 : f32[b, 4, 3, 3]  # act1\n\
        %4 = group_norm %3 @n.w @n.b {\"groups\":2,\"eps\":1e-6,\"silu\":false} : f32[b, 4, 3, 3]  # norm2\n\
        %5 = silu %4 : f32[b, 4, 3, 3]  # act2\n%6 = silu %4 : f32[b, 4, 3, 3]  # act2 again\n\
        %7 = mul %5 %6 : f32[b, 4, 3, 3]  # product\nmark norm2 %4\noutput y %7\n";
    let mut graph = load(source);
    let log = simplify(&mut graph);
    insta::assert_snapshot!(format!("{log}---\n{}", text::print(&graph)), @r#"
    operations 7 -> 4
      reshape 1 -> 0
      silu 3 -> 1
    fired identity-reshape at view
    fired fuse-group-norm-silu at act1
    fired common-subexpression at act2 again
    fired dead-code at unused
    refused fuse-group-norm-silu at act2: the value between is marked
    ---
    graph 1 block
    symbol b 2 "batch"
    input %0 x : f32[b, 4, 3, 3]
    param n.b : f32[4]
    param n.w : f32[4]
    %1 = group_norm %0 @n.w @n.b {"groups":2,"eps":1e-6,"silu":true} : f32[b, 4, 3, 3]  # act1 <- fuse-group-norm-silu
    %2 = group_norm %1 @n.w @n.b {"groups":2,"eps":1e-6,"silu":false} : f32[b, 4, 3, 3]  # norm2
    %3 = silu %2 : f32[b, 4, 3, 3]  # act2
    %4 = mul %3 %3 : f32[b, 4, 3, 3]  # product
    mark norm2 %2
    output y %4
    "#);
    assert!(simplify(&mut graph).fired.is_empty());
}

#[test]
fn a_network_of_three_thousand_operations_is_simplified_to_the_end() {
    let mut graph = Graph::new("deep");
    let norm = [graph.param("w", &[4], None).unwrap(), graph.param("b", &[4], None).unwrap()];
    let mut x = graph.input("x", dmdx_graph::Type::f32([1, 4, 2, 2])).unwrap();
    for i in 0..1000 {
        let normed = graph.push(Op::GroupNorm { groups: 2, eps: 1e-5, silu: false }, &[x, norm[0], norm[1]], "norm").unwrap();
        let active = graph.push(Op::Silu, &[normed], "act").unwrap();
        x = graph.push(Op::Add, &[x, active], &format!("block.{i}")).unwrap();
    }
    graph.output("y", x).unwrap();
    let log = simplify(&mut graph);
    assert_eq!(log.count("fuse-group-norm-silu"), 1000);
}

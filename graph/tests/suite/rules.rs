//! Every rule: fires on its witnesses without changing results, refuses its near misses by the guard under test, and
//! changes nothing when it is applied again.

use std::collections::BTreeSet;

use dmdx_graph::rewrite::simplify::{SimplifyOptions, Trainable, rules};
use dmdx_graph::rewrite::{Exactness, Rule, apply, simplify, simplify_with};
use dmdx_graph::{Graph, Op, interp, text};

use crate::values::{difference, fill, inputs};

fn every_rule() -> Vec<Box<dyn Rule>> {
    rules(&SimplifyOptions { trainable: Trainable::Named(BTreeSet::from(["trained".to_string()])) })
}

fn load(source: &str) -> Graph {
    let mut graph = text::parse(source).unwrap_or_else(|error| panic!("{error}\n{source}"));
    fill(&mut graph);
    graph
}

#[test]
fn witnesses_fire_and_keep_their_results() {
    for rule in every_rule() {
        let mut shown = Vec::new();
        assert!(!rule.witnesses().is_empty(), "{}", rule.name());
        for source in rule.witnesses() {
            let before = load(source);
            let mut after = before.clone();
            let log = apply(&mut after, &[&*rule]).unwrap();
            assert!(log.count(rule.name()) > 0, "{} does not fire on\n{source}", rule.name());
            let values = inputs(&before);
            let change = difference(&interp::run(&before, &values).unwrap(), &interp::run(&after, &values).unwrap());
            let limit = match rule.class() {
                Exactness::Bitwise => 0.0,
                // No witness sums more than 16 products.
                Exactness::Reassociates => 64.0 * f64::from(f32::EPSILON) * 4.0,
                Exactness::Approx { bound } => bound,
            };
            assert!(change <= limit, "{} changes results by {change:.1e} on\n{source}", rule.name());
            let again = apply(&mut after, &[&*rule]).unwrap();
            assert!(again.fired.is_empty(), "{} fires again on\n{source}", rule.name());
            shown.push(format!("{}---\n{}---\n{log}", text::print(&before), text::print(&after)));
        }
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(rule.name(), shown.join("\n=====\n"));
        });
    }
}

#[test]
fn near_misses_are_refused_by_the_guard_under_test() {
    for rule in every_rule() {
        assert!(rule.near_misses().len() >= 2, "{}", rule.name());
        for miss in rule.near_misses() {
            let mut graph = load(miss.text);
            let before = text::print(&graph);
            let log = apply(&mut graph, &[&*rule]).unwrap();
            assert!(log.fired.is_empty(), "{} fires on\n{}", rule.name(), miss.text);
            let refusals: BTreeSet<_> = log.refused.iter().filter_map(|event| event.refusal).collect();
            assert_eq!(refusals, miss.refusal.into_iter().collect(), "{} on\n{}", rule.name(), miss.text);
            assert_eq!(text::print(&graph), before, "{}", rule.name());
        }
    }
}

#[test]
fn trainable_parameters_are_never_folded() {
    let source = "graph 1 g\ninput %0 x : f32[2, 6]\nparam w : f32[2, 3, 4]\n%1 = permute @w {\"axes\":[2,0,1]} : f32[4, 2, 3]\n\
                  %2 = reshape %1 {\"shape\":[4,6]} : f32[4, 6]\n%3 = linear %0 %2 : f32[2, 4]\noutput y %3\n";
    let mut graph = load(source);
    let log = simplify(&mut graph).unwrap();
    assert_eq!(log.count("fold-constants"), 0);
    assert!(graph.params().contains_key("w"));
    let log = simplify_with(&mut graph, &SimplifyOptions { trainable: Trainable::Nothing }).unwrap();
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
    let log = simplify(&mut graph).unwrap();
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
    assert!(simplify(&mut graph).unwrap().fired.is_empty());
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
    let log = simplify(&mut graph).unwrap();
    assert_eq!(log.count("fuse-group-norm-silu"), 1000);
}

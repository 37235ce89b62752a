//! What the driver does with rules that are wrong, and with code that nothing needs.

use dmdx_graph::rewrite::{Exactness, FAMILIES, Miss, Outcome, Patch, RewriteOptions, Rule, Site, apply, apply_neutral};
use dmdx_graph::{Graph, Op, Type, text};

/// A rule made of one function, to be as wrong as a test needs.
struct Wrong(fn(&Site) -> Outcome);

impl Rule for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn class(&self) -> Exactness {
        Exactness::Bitwise
    }

    fn apply(&self, site: &Site) -> Outcome {
        self.0(site)
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &[]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[]
    }
}

fn sample() -> Graph {
    let source = "graph 1 g\ninput %0 x : f32[2, 3]\n%1 = silu %0 : f32[2, 3]  # act\noutput y %1\n";
    text::parse(source).unwrap()
}

fn error_of(rule: fn(&Site) -> Outcome) -> String {
    apply(&mut sample(), &[&Wrong(rule)]).unwrap_err().to_string()
}

#[test]
fn a_replacement_that_reads_what_it_replaces_is_refused() {
    let error = error_of(|site| {
        let mut patch = Patch::new();
        let negated = patch.op(Op::Neg, &[site.at.into()]);
        Outcome::Patch(patch.replace(site.at, negated))
    });
    assert_eq!(error, "rule `wrong` at act: the replacement reads what it replaces");
}

#[test]
fn a_replacement_of_another_type_is_refused() {
    let error = error_of(|site| {
        let (_, inputs) = site.op().unwrap();
        let mut patch = Patch::new();
        let turned = patch.op(Op::Permute { axes: vec![1, 0] }, &[inputs[0].into()]);
        Outcome::Patch(patch.replace(site.at, turned))
    });
    assert_eq!(error, "rule `wrong` at act: act: replace cannot take its inputs: f32[2, 3] would be replaced by f32[3, 2]");
}

#[test]
fn a_rule_that_never_ends_is_stopped() {
    let error = error_of(|site| {
        let Some((Op::Silu, inputs)) = site.op() else { return Outcome::No };
        let mut patch = Patch::new();
        let same = patch.op(Op::Silu, &[inputs[0].into()]);
        Outcome::Patch(patch.replace(site.at, same))
    });
    assert_eq!(error, "rule `wrong` at act <- wrong: the rules fired more than 20 times and do not come to an end");
}

#[test]
fn chains_that_nothing_reads_go_away() {
    let mut graph = sample();
    let x = graph.inputs()[0].1;
    let weight = graph.param("weight", &[4, 3], None).unwrap();
    let hidden = graph.push(Op::Linear, &[x, weight], "stray").unwrap();
    graph.push(Op::Tanh, &[hidden], "stray.act").unwrap();
    let unread = graph.input("unread", Type::f32([2])).unwrap();
    let mut rules = FAMILIES.iter().flat_map(|family| (family.rules)(&RewriteOptions::default()));
    let dead_code = rules.find(|rule| rule.name() == "dead-code").unwrap();
    let log = apply(&mut graph, &[&*dead_code]).unwrap();
    assert_eq!(log.to_string(), "operations 3 -> 1\n  linear 1 -> 0\n  tanh 1 -> 0\nfired dead-code at stray.act\n");
    assert!(graph.params().is_empty());
    assert!(graph.contains(unread), "inputs are the public contract");
}

#[test]
fn equal_graphs_are_rewritten_equally() {
    let source = "graph 1 g\ninput %0 x : f32[2, 3]\n%1 = silu %0 : f32[2, 3]  # a\n%2 = silu %0 : f32[2, 3]  # b\n\
                  %3 = add %1 %2 : f32[2, 3]  # sum\noutput y %3\n";
    let run = || {
        let mut graph = text::parse(source).unwrap();
        apply_neutral(&mut graph, &RewriteOptions::default()).unwrap();
        text::print(&graph)
    };
    assert_eq!(run(), run());
}

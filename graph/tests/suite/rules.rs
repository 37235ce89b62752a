//! Every rule of every family: fires on its witnesses without changing results, refuses its near misses by the guard under
//! test, changes nothing when it is applied again, and has a file and a snapshot of its name.

use std::collections::BTreeSet;
use std::path::Path;

use dmdx_graph::interp::{self, Run};
use dmdx_graph::rewrite::{Exactness, FAMILIES, Family, RewriteLog, RewriteOptions, Rule, Trainable, apply};
use dmdx_graph::{Graph, text};

use crate::values::{difference, fill, inputs};

/// Witnesses and near misses call the parameters that must stay `trained`.
fn options() -> RewriteOptions {
    RewriteOptions { trainable: Trainable::Named(BTreeSet::from(["trained".to_string()])) }
}

fn every_rule() -> Vec<(&'static Family, Box<dyn Rule>)> {
    FAMILIES.iter().flat_map(|family| (family.rules)(&options()).into_iter().map(move |rule| (*family, rule))).collect()
}

/// Every witness with its rule's family.
fn every_witness() -> Vec<(&'static Family, &'static str)> {
    every_rule().iter().flat_map(|(family, rule)| rule.witnesses().iter().map(move |text| (*family, *text))).collect()
}

fn load(source: &str) -> Graph {
    let mut graph = text::parse(source).unwrap_or_else(|error| panic!("{error}\n{source}"));
    fill(&mut graph);
    graph
}

/// How much results may change; no witness sums more than 16 products.
fn limit(class: Exactness) -> f64 {
    match class {
        Exactness::Bitwise => 0.0,
        Exactness::Reassociates => 64.0 * f64::from(f32::EPSILON) * 4.0,
        Exactness::Approx { bound } => bound,
    }
}

fn run(graph: &Graph) -> Run {
    interp::run(graph, &inputs(graph)).unwrap()
}

/// Rewrites a witness and holds the result against it.
fn hold(what: &str, source: &str, class: Exactness, rewrite: &dyn Fn(&mut Graph) -> RewriteLog) -> (Graph, Graph, RewriteLog) {
    let before = load(source);
    let mut after = before.clone();
    let log = rewrite(&mut after);
    let change = difference(&run(&before), &run(&after));
    assert!(change <= limit(class), "{what} changes results by {change:.1e} on\n{source}");
    assert!(rewrite(&mut after.clone()).fired.is_empty(), "{what} fires again on\n{source}");
    (before, after, log)
}

#[test]
fn witnesses_fire_and_keep_their_results() {
    for (_, rule) in every_rule() {
        let mut shown = Vec::new();
        assert!(!rule.witnesses().is_empty(), "{}", rule.name());
        for source in rule.witnesses() {
            let (before, after, log) = hold(rule.name(), source, rule.class(), &|graph| apply(graph, &[&*rule]).unwrap());
            assert!(log.count(rule.name()) > 0, "{} does not fire on\n{source}", rule.name());
            shown.push(format!("{}---\n{}---\n{log}", text::print(&before), text::print(&after)));
        }
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(rule.name(), shown.join("\n=====\n"));
        });
    }
}

#[test]
fn near_misses_are_refused_by_the_guard_under_test() {
    for (_, rule) in every_rule() {
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

/// The rules of a family do not undo one another, and together change results by no more than the family says.
#[test]
fn families_come_to_an_end_on_every_witness() {
    for family in FAMILIES {
        for (_, source) in every_witness() {
            let (before, after, _) =
                hold(family.name, source, family.exactness, &|graph| family.apply(graph, &options()).unwrap());
            if family.neutral {
                assert!(before.marks().keys().eq(after.marks().keys()), "{} loses a mark of\n{source}", family.name);
            }
        }
    }
}

#[test]
fn no_rule_is_looser_than_its_family() {
    for (family, rule) in every_rule() {
        let (class, bound) = (rule.class(), family.exactness);
        assert!(limit(class) <= limit(bound), "{} of {} is {class:?}", rule.name(), family.name);
        assert!(!family.neutral || !matches!(bound, Exactness::Approx { .. }), "{} is applied to everything", family.name);
    }
}

/// One folder a family, one file and one snapshot a rule, all of its name, and no two of a name.
#[test]
fn names_are_those_of_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    let mut snapshots = BTreeSet::new();
    for (family, rule) in every_rule() {
        let file = format!("src/rewrite/{}/{}.rs", family.name, rule.name().replace('-', "_"));
        assert!(folder.join(&file).is_file(), "{file}");
        assert!(names.insert(rule.name()), "two rules are called {}", rule.name());
        snapshots.insert(format!("{}.snap", rule.name()));
    }
    let there = std::fs::read_dir(folder.join("tests/snapshots")).unwrap();
    let there: BTreeSet<String> = there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, snapshots);
}

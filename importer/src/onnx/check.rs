//! The rules of ONNX on versions, names, order and types; every broken one is listed.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::names::{Defined, Names};
use super::scan::Found;
use super::shown::{quoted, shown};
use super::tensor::{ELEMENT_TYPES, Files, dtype_of, has_checksum, name};
use super::view::{Node, Size, ValueInfo, bytes, integer, repeated, text};
use crate::options::ImportOptions;

/// IR versions that are read: from the one that lets initializers be no inputs to that of the newest operator set.
const IR_VERSIONS: RangeInclusive<i64> = 4..=11;

/// Versions of the standard operators whose meaning is known.
const OPSETS: RangeInclusive<i64> = 13..=23;

/// Defects that are kept; a file with more of them is not worth a longer list.
const MOST_DEFECTS: usize = 100;

/// The defects of one file.
#[derive(Default)]
pub(super) struct Defects {
    pub list: Vec<String>,
    /// Defects beyond the list.
    pub more: usize,
}

impl Defects {
    pub(super) fn add(&mut self, defect: String) {
        match self.list.len() < MOST_DEFECTS {
            true => self.list.push(defect),
            false => self.more += 1,
        }
    }
}

/// Checks the versions and gives the version of the standard operators.
pub(super) fn versions(model: &[u8], defects: &mut Defects) -> i64 {
    match repeated(model, 1).last().map(integer) {
        None => defects.add("it names no IR version".into()),
        Some(version) if !IR_VERSIONS.contains(&version) => {
            let (first, last) = (IR_VERSIONS.start(), IR_VERSIONS.end());
            defects.add(format!("its IR version is {version}, {first} to {last} are read"));
        }
        Some(_) => {}
    }
    let mut standard = None;
    let mut seen = BTreeSet::new();
    for set in repeated(model, 8).map(bytes) {
        let domain = domain_of(repeated(set, 1).last().map_or("", text));
        let version = repeated(set, 2).last().map_or(0, integer);
        if !seen.insert(domain) {
            defects.add(format!("it names the operator set {} twice", quoted(domain)));
        }
        if domain.is_empty() {
            standard = Some(version);
        }
    }
    let (first, last) = (OPSETS.start(), OPSETS.end());
    match standard {
        None => defects.add(format!("it names no version of the standard operators, {first} to {last} are read")),
        Some(version) if !OPSETS.contains(&version) => {
            let advice = "export it with another opset, or convert it with onnx.version_converter";
            defects.add(format!("its standard operators have version {version}, {first} to {last} are read ({advice})"));
        }
        Some(_) => {}
    }
    standard.unwrap_or_default()
}

/// The standard domain has two names.
pub(super) fn domain_of(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// Checks everything in the graph but the tensors of initializers.
pub(super) fn graph(
    model: &[u8],
    graph: &[u8],
    found: &Found,
    files: &mut Files,
    options: &ImportOptions,
    defects: &mut Defects,
) {
    let names = Names::new(graph, found.results, found.sources, found.nodes);
    for name in names.duplicates() {
        defects.add(format!("the value `{}` is defined more than once", shown(name)));
    }
    named_once(graph, 11, "input", defects);
    let initializers = initializers(graph, files, options, defects);
    for input in repeated(graph, 11).map(|value| ValueInfo::new(bytes(value))).filter(|i| !initializers.contains(i.name)) {
        value_info(&input, "input", options, defects);
    }
    nodes(model, graph, &names, files, options, defects);
    let outputs = named_once(graph, 12, "output", defects);
    if outputs.is_empty() {
        defects.add("it has no outputs".into());
    }
    for name in outputs.iter().filter(|name| names.find(name) == Defined::Nowhere) {
        defects.add(format!("the output `{}` is computed by nothing", shown(name)));
    }
}

/// The names of inputs or outputs; empty ones and repetitions are defects.
fn named_once<'a>(graph: &'a [u8], field: u32, kind: &str, defects: &mut Defects) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for value in repeated(graph, field) {
        let name = repeated(bytes(value), 1).last().map_or("", text);
        if name.is_empty() {
            defects.add(format!("an {kind} has no name"));
        } else if !names.insert(name) {
            defects.add(format!("the {kind} `{}` is declared twice", shown(name)));
        }
    }
    names
}

fn initializers<'a>(graph: &'a [u8], files: &mut Files, options: &ImportOptions, defects: &mut Defects) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for tensor in repeated(graph, 5).map(bytes) {
        let name = name(tensor);
        if name.is_empty() {
            defects.add("an initializer has no name".into());
        } else if !seen.insert(name) {
            defects.add(format!("the initializer `{}` is there twice", shown(name)));
        }
        if let Err(reason) = files.check(tensor, options) {
            defects.add(format!("the initializer `{}` {reason}", shown(name)));
        }
        files.checksums |= has_checksum(tensor);
    }
    seen
}

fn value_info(info: &ValueInfo<'_>, kind: &str, options: &ImportOptions, defects: &mut Defects) {
    let name = shown(info.name);
    let Some((element, sizes)) = &info.tensor else {
        return defects.add(format!("the {kind} `{name}` has no tensor type with a shape"));
    };
    if dtype_of(*element).is_none() {
        defects.add(format!("the {kind} `{name}` has the element type {element}; {ELEMENT_TYPES}"));
    }
    for size in sizes {
        if let Size::Known(size) = size
            && !u64::try_from(*size).is_ok_and(|size| size <= options.limits.dimension)
        {
            defects.add(format!("the {kind} `{name}` has the size {size}, 0 to {} are possible", options.limits.dimension));
        }
    }
}

fn nodes(model: &[u8], graph: &[u8], names: &Names<'_>, files: &mut Files, options: &ImportOptions, defects: &mut Defects) {
    let domains: BTreeSet<&str> =
        repeated(model, 8).map(|set| domain_of(repeated(bytes(set), 1).last().map_or("", text))).collect();
    let mut disordered = false;
    for (number, message) in repeated(graph, 1).map(bytes).enumerate() {
        let node = Node::new(message);
        if node.op_type.is_empty() {
            defects.add(format!("the node `{}` names no operation", node.shown()));
        }
        if !domains.contains(domain_of(node.domain)) {
            let domain = quoted(node.domain);
            defects.add(format!("the node `{}` uses the operator set {domain}, which the model does not name", node.shown()));
        }
        if node.outputs.iter().all(|output| output.is_empty()) {
            defects.add(format!("the node `{}` has no results", node.shown()));
        }
        for input in node.inputs.iter().filter(|input| !input.is_empty()) {
            match names.find(input) {
                Defined::Node(producer) if producer >= number => {
                    disordered = true;
                    let input = shown(input);
                    defects.add(format!("the node `{}` reads `{input}` before it is computed", node.shown()));
                }
                Defined::Nowhere => {
                    defects.add(format!("the node `{}` reads `{}`, which nothing computes", node.shown(), shown(input)));
                }
                Defined::Node(_) | Defined::Source => {}
            }
        }
        attributes(&node, files, options, defects);
    }
    if disordered {
        let cycle = names.cycles();
        let shown: Vec<String> = repeated(graph, 1)
            .enumerate()
            .filter(|(number, _)| cycle.binary_search(number).is_ok())
            .map(|(_, node)| format!("`{}`", Node::new(bytes(node)).shown()))
            .collect();
        if !shown.is_empty() {
            defects.add(format!("the nodes {} depend on themselves in a cycle", crate::defects::shortened(&shown)));
        }
    }
}

fn attributes(node: &Node<'_>, files: &mut Files, options: &ImportOptions, defects: &mut Defects) {
    let mut seen = BTreeSet::new();
    for attribute in &node.attributes {
        let name = shown(attribute.name);
        let place = || format!("the attribute `{name}` of the node `{}`", node.shown());
        if attribute.name.is_empty() || !seen.insert(attribute.name) {
            defects.add(format!("{} has no name or is given twice", place()));
        }
        if !(1..=14).contains(&attribute.kind) {
            defects.add(format!("{} has the type {}, ONNX defines 1 to 14", place(), attribute.kind));
        } else if !attribute.is_consistent() {
            defects.add(format!("{} does not hold what its type {} says", place(), attribute.kind));
        } else if let Some(tensor) = attribute.t {
            if let Err(reason) = files.check(tensor, options) {
                defects.add(format!("{} {reason}", place()));
            }
            files.checksums |= has_checksum(tensor);
        } else if let Some(graph) = attribute.g {
            initializers(graph, files, options, defects);
            repeated(graph, 1).for_each(|inner| attributes(&Node::new(bytes(inner)), files, options, defects));
        }
    }
}

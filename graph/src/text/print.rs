//! Graph to text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::words::{VERSION, is_plain};
use crate::ir::{Def, Graph, Op, ValueId};
use crate::store::hash;

/// What [`print_with`] adds to the canonical text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PrintOptions {
    /// Storage type and the first 8 hexadecimal digits of the content hash of every weight that is there. This reads all
    /// weights; [`parse`](super::parse) ignores it.
    pub(crate) weights: bool,
}

/// The canonical text of a graph that [verifies](Graph::verify).
pub fn print(graph: &Graph) -> String {
    print_with(graph, PrintOptions::default())
}

/// As [`print()`], with options.
pub(crate) fn print_with(graph: &Graph, options: PrintOptions) -> String {
    let order = graph.order();
    let ids = graph.inputs().iter().map(|(_, id)| *id).chain(order.iter().copied());
    let numbers: BTreeMap<ValueId, usize> = ids.enumerate().map(|(number, id)| (id, number)).collect();
    let reference = |id: ValueId| match &graph.value(id).def {
        Def::Param(name) => format!("@{}", word(name)),
        // The order contains every operation that can be reached, the inputs are numbered first.
        Def::Input(_) | Def::Op { .. } => numbers.get(&id).map_or("%?".into(), |number| format!("%{number}")),
    };
    let mut lines = vec![format!("graph {VERSION} {}", word(graph.name()))];
    for (name, info) in graph.symbols() {
        lines.push(format!("symbol {name} {} {}", info.usual, quoted(&info.meaning)));
    }
    for (name, id) in graph.inputs() {
        lines.push(format!("input {} {} : {}", reference(*id), word(name), graph.value(*id).ty));
    }
    for (name, param) in graph.params() {
        let mut line = format!("param {} : {}", word(name), graph.value(param.value).ty);
        if let Some(weight) = param.weight.as_ref().filter(|_| options.weights) {
            let digest = hash::hex(&weight.hash()[..4]);
            line = format!("{line} = {} {digest}", weight.dtype().name());
        }
        lines.push(line);
    }
    for id in order {
        let Some((op, inputs)) = graph.op(id) else { continue };
        let value = graph.value(id);
        let mut line = format!("{} = {}", reference(id), op.name());
        for &input in inputs {
            line = line + " " + &reference(input);
        }
        if let Some(attributes) = attributes(op) {
            line = line + " " + &attributes;
        }
        // Writing to a string cannot fail.
        let _ = write!(line, " : {}", value.ty);
        if !value.origin.is_empty() {
            line = line + "  # " + &origin(&value.origin);
        }
        lines.push(line);
    }
    for (path, id) in graph.marks() {
        lines.push(format!("mark {} {}", word(path), reference(*id)));
    }
    for output in graph.outputs() {
        lines.push(format!("output {} {}", word(&output.name), reference(output.value)));
    }
    lines.join("\n") + "\n"
}

/// The attributes of an operation as a JSON object, if it has any.
fn attributes(op: &Op) -> Option<String> {
    match serde_json::to_value(op).ok()? {
        serde_json::Value::Object(object) => object.into_iter().next().map(|(_, attributes)| attributes.to_string()),
        _ => None,
    }
}

fn word(name: &str) -> String {
    if is_plain(name) { name.into() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn origin(text: &str) -> String {
    let clear = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if clear && text.trim() == text && !text.starts_with('"') { text.into() } else { quoted(text) }
}

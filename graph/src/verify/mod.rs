//! Every invariant of a graph. All defects are reported at once; the check is linear and always runs, in release too.

use std::collections::BTreeSet;

use crate::dtype::DType;
use crate::error::{GraphError, Result};
use crate::ir::{Def, Dim, Graph, Shape, Type, Value, ValueId, attributes, infer};

impl Graph {
    /// Checks every invariant: values exist and are acyclic, types are what inference gives, parameters and inputs are
    /// declared consistently, names are unique, symbols are declared, attributes are finite.
    ///
    /// # Errors
    /// One [`GraphError::Invalid`] with one sentence per defect.
    pub fn verify(&self) -> Result<()> {
        let mut defects = Vec::new();
        check_inputs(self, &mut defects);
        check_params(self, &mut defects);
        for (id, value) in self.values() {
            check_value(self, id, value, &mut defects);
        }
        check_roots(self, &mut defects);
        check_symbols(self, &mut defects);
        check_cycles(self, &mut defects);
        if defects.is_empty() { Ok(()) } else { Err(GraphError::Invalid { graph: self.name().into(), defects }) }
    }
}

fn check_inputs(graph: &Graph, defects: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for (name, id) in graph.inputs() {
        if !names.insert(name) {
            defects.push(format!("input `{name}` is declared twice"));
        }
        if !graph.contains(*id) || graph.value(*id).def != Def::Input(name.clone()) {
            defects.push(format!("input `{name}` does not name its value"));
        }
    }
}

fn check_params(graph: &Graph, defects: &mut Vec<String>) {
    for (name, param) in graph.params() {
        if !graph.contains(param.value) || graph.value(param.value).def != Def::Param(name.clone()) {
            defects.push(format!("parameter `{name}` does not name its value"));
            continue;
        }
        let ty = &graph.value(param.value).ty;
        if ty.shape != Shape::known(&param.shape) || !matches!(ty.dtype, DType::F32 | DType::I64) {
            defects.push(format!("parameter `{name}` of shape {:?} has a value of type {ty}", param.shape));
        }
        if let Some(weight) = &param.weight {
            if weight.shape() != param.shape {
                defects.push(format!("parameter `{name}` of shape {:?} has a weight of shape {:?}", param.shape, weight.shape()));
            }
            if weight.dtype().is_float() != ty.dtype.is_float() {
                defects.push(format!("parameter `{name}` of type {ty} has a weight of type {}", weight.dtype().name()));
            }
        }
    }
}

fn check_value(graph: &Graph, id: ValueId, value: &Value, defects: &mut Vec<String>) {
    let Value { def, ty, origin } = value;
    match def {
        Def::Input(name) if !graph.inputs().iter().any(|(other, value)| other == name && *value == id) => {
            defects.push(format!("{origin}: input `{name}` is not in the list of inputs"));
        }
        Def::Param(name) if graph.params().get(name).is_none_or(|param| param.value != id) => {
            defects.push(format!("{origin}: parameter `{name}` is not in the table of parameters"));
        }
        Def::Input(_) | Def::Param(_) => {}
        Def::Op { op, inputs } => {
            if inputs.iter().any(|input| !graph.contains(*input)) {
                defects.push(format!("{origin}: {} reads a value that does not exist", op.name()));
                return;
            }
            let types: Vec<&Type> = inputs.iter().map(|&input| &graph.value(input).ty).collect();
            match infer(op, &types) {
                Ok(inferred) if inferred == *ty => {}
                Ok(inferred) => defects.push(format!("{origin}: {} has type {ty}, its inputs give {inferred}", op.name())),
                Err(reason) => defects.push(format!("{origin}: {} cannot take its inputs: {reason}", op.name())),
            }
            let attributes = attributes(op);
            if attributes.numbers.iter().any(|number| !number.is_finite()) {
                defects.push(format!("{origin}: {} has an attribute that is not a finite number", op.name()));
            }
            for dim in attributes.dims {
                check_dim(graph, dim, origin, defects);
            }
        }
    }
    for dim in &ty.shape.0 {
        check_dim(graph, dim, origin, defects);
    }
}

fn check_dim(graph: &Graph, dim: &Dim, origin: &str, defects: &mut Vec<String>) {
    for symbol in dim.symbols() {
        if !graph.symbols().contains_key(symbol) {
            defects.push(format!("{origin}: symbol `{symbol}` is not declared"));
        }
    }
}

fn check_roots(graph: &Graph, defects: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for output in graph.outputs() {
        if !names.insert(&output.name) {
            defects.push(format!("output `{}` is declared twice", output.name));
        }
        if !graph.contains(output.value) {
            defects.push(format!("output `{}` names a value that does not exist", output.name));
        }
    }
    for (path, id) in graph.marks() {
        if !graph.contains(*id) {
            defects.push(format!("mark `{path}` names a value that does not exist"));
        }
    }
}

fn check_symbols(graph: &Graph, defects: &mut Vec<String>) {
    for symbol in graph.symbols().keys() {
        let plain = symbol.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || symbol.is_empty() || symbol.starts_with(|c: char| c.is_ascii_digit()) {
            defects.push(format!("symbol `{symbol}` is not made of letters, digits and underscores after a letter"));
        }
    }
}

/// Depth first with an explicit stack; a value met again while it is still open closes a cycle.
fn check_cycles(graph: &Graph, defects: &mut Vec<String>) {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let size = graph.values().last().map_or(0, |(id, _)| id.index() + 1);
    let mut states = vec![State::New; size];
    for (root, _) in graph.values() {
        let mut stack = vec![(root, 0usize)];
        while let Some((id, next)) = stack.pop() {
            if next == 0 && states[id.index()] != State::New {
                continue;
            }
            states[id.index()] = State::Open;
            let inputs = graph.op(id).map(|(_, inputs)| inputs).unwrap_or_default();
            let Some(&input) = inputs.get(next) else {
                states[id.index()] = State::Done;
                continue;
            };
            stack.push((id, next + 1));
            if !graph.contains(input) {
                continue;
            }
            match states[input.index()] {
                State::New => stack.push((input, 0)),
                State::Open => {
                    defects.push(format!("{}: the value depends on itself", graph.value(input).origin));
                    return;
                }
                State::Done => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;

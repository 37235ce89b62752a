//! A graph compiled for execution: operations in order, and when each value can be freed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dmdx_graph::ir::{Bindings, Type};
use dmdx_graph::{Def, Graph, Op, ValueId};

use super::lora::Factors;
use crate::error::{NetworkError, TrainError};

/// Where an operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A graph input, by position.
    Input(usize),
    /// A parameter, by position.
    Param(usize),
    /// The result of a step, by position.
    Step(usize),
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub op: Op,
    pub operands: Vec<Source>,
    /// Dotted module path, for messages and profiles.
    pub origin: Arc<str>,
}

/// One graph, compiled; every role that runs the graph shares it.
#[derive(Debug)]
pub struct Plan {
    pub(super) name: String,
    pub(super) inputs: Vec<(Arc<str>, Type)>,
    pub(super) params: Vec<(Arc<str>, Vec<usize>)>,
    pub(super) steps: Vec<Step>,
    /// Their parameters stand behind the graph's own.
    pub(super) factors: Option<Factors>,
    /// The position of the first parameter that is a role's own: of the first factor, where there are any.
    pub(super) first_own: usize,
    /// Outputs, and marks that are not outputs too, by name.
    pub(super) named: BTreeMap<String, Source>,
    pub(super) outputs: Vec<String>,
    /// What to run for a set of wanted names; the sets are few and asked for in every iteration.
    pub(super) selections: Mutex<BTreeMap<Vec<String>, Arc<Selection>>>,
}

/// The steps that a set of wanted values needs.
#[derive(Debug)]
pub(super) struct Selection {
    /// Steps in order, each with the steps whose results nobody needs afterwards.
    pub steps: Vec<(usize, Vec<usize>)>,
    /// Where each wanted value is.
    pub wanted: Vec<Source>,
}

impl Plan {
    /// Compiles a graph. Parameters are ordered by name.
    pub fn new(graph: &Graph) -> Self {
        let mut sources: BTreeMap<ValueId, Source> = BTreeMap::new();
        let mut inputs = Vec::new();
        for (i, (name, id)) in graph.inputs().iter().enumerate() {
            sources.insert(*id, Source::Input(i));
            inputs.push((name.clone(), graph.value(*id).ty.clone()));
        }
        let mut params = Vec::new();
        for (i, (name, param)) in graph.params().iter().enumerate() {
            sources.insert(param.value, Source::Param(i));
            params.push((name.clone(), param.shape.clone()));
        }
        let mut steps = Vec::new();
        for id in graph.order() {
            let value = graph.value(id);
            if let Def::Op { op, inputs } = &value.def {
                let operands = inputs.iter().filter_map(|input| sources.get(input).copied()).collect();
                sources.insert(id, Source::Step(steps.len()));
                steps.push(Step { op: op.clone(), operands, origin: value.origin.clone() });
            }
        }
        let mut named = BTreeMap::new();
        let marks = graph.marks().iter().map(|(path, id)| (path, *id));
        for (name, id) in marks.chain(graph.outputs().iter().map(|output| (&output.name, output.value))) {
            if let Some(source) = sources.get(&id) {
                named.insert(name.clone(), *source);
            }
        }
        let outputs = graph.outputs().iter().map(|output| output.name.clone()).collect();
        let (name, selections) = (graph.name().to_string(), Mutex::default());
        Self { name, inputs, params, steps, factors: None, first_own: 0, named, outputs, selections }
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the inputs, in the graph's order.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|(name, _)| &**name)
    }

    /// Names of the outputs, in the graph's order.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Whether `name` is an output or a marked module path.
    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Binds the symbols from the inputs' shapes.
    pub(super) fn bind(&self, shapes: &[Option<Vec<usize>>]) -> Result<Bindings, TrainError> {
        let mut bindings = Bindings::new();
        for ((name, ty), shape) in self.inputs.iter().zip(shapes) {
            if let Some(shape) = shape {
                ty.shape
                    .bind(name, shape, &mut bindings)
                    .map_err(|error| TrainError::component(format!("running {}", self.name), error))?;
            }
        }
        Ok(bindings)
    }

    /// What to run for the outputs and marks called `wanted`.
    pub(super) fn selection(&self, wanted: &[&str]) -> Result<Arc<Selection>, TrainError> {
        let key: Vec<String> = wanted.iter().map(|name| name.to_string()).collect();
        let mut selections = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(selection) = selections.get(&key) {
            return Ok(selection.clone());
        }
        let selection = Arc::new(self.compile(wanted)?);
        selections.insert(key, selection.clone());
        Ok(selection)
    }

    fn compile(&self, wanted: &[&str]) -> Result<Selection, TrainError> {
        let mut sources = Vec::new();
        for name in wanted {
            let absent = || NetworkError::NoName { network: self.name.clone(), name: name.to_string() };
            sources.push(*self.named.get(*name).ok_or_else(absent)?);
        }
        let mut needed = vec![false; self.steps.len()];
        for source in &sources {
            if let Source::Step(step) = source {
                needed[*step] = true;
            }
        }
        for index in (0..self.steps.len()).rev() {
            if needed[index] {
                for operand in &self.steps[index].operands {
                    if let Source::Step(step) = operand {
                        needed[*step] = true;
                    }
                }
            }
        }
        let kept = |step: usize| sources.contains(&Source::Step(step));
        let mut freed = vec![false; self.steps.len()];
        let mut steps = Vec::new();
        for index in (0..self.steps.len()).rev().filter(|&index| needed[index]) {
            let mut last = Vec::new();
            for operand in &self.steps[index].operands {
                if let Source::Step(step) = operand
                    && !freed[*step]
                    && !kept(*step)
                {
                    freed[*step] = true;
                    last.push(*step);
                }
            }
            steps.push((index, last));
        }
        steps.reverse();
        Ok(Selection { steps, wanted: sources })
    }
}

//! The graph: values wired by identity, named inputs, outputs, parameters and marks. All mutation is here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::dim::{Bindings, Dim, Symbol};
use super::infer::infer;
use super::op::Op;
use super::types::{Shape, Type};
use crate::dtype::DType;
use crate::error::{GraphError, InferError, InputError, Result, WeightError};
use crate::weights::Weight;

/// Identifies a value of one graph. Ids of removed values are never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(u32);

impl ValueId {
    /// The position in creation order.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Def {
    /// A graph input of this name.
    Input(Arc<str>),
    /// The parameter of this name.
    Param(Arc<str>),
    /// The result of an operation.
    Op {
        /// The operation.
        op: Op,
        /// Its inputs, in the order of [`Op`]'s docstrings.
        inputs: SmallVec<[ValueId; 4]>,
    },
}

/// One value: its definition, its type, and the module of the reference library that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Where it comes from.
    pub def: Def,
    /// Element type and shape.
    pub ty: Type,
    /// Dotted module path (`down_blocks.1.attentions.0`), then ` <- rule` for every rewrite that touched it.
    pub origin: Arc<str>,
}

/// A weight by name, shape and lazily evaluated data.
#[derive(Clone, Debug)]
pub struct Param {
    /// Sizes of all dimensions.
    pub shape: Vec<usize>,
    /// The value in the graph; a parameter always has exactly one.
    pub value: ValueId,
    /// The data, absent while only shapes are known.
    pub weight: Option<Weight>,
}

/// A named result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The public name.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// What a symbol stands for and which sizes make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolInfo {
    /// In words, for `inspect`: "latent height / 8".
    pub meaning: String,
    /// A usual size, used for defaults and export checks.
    pub usual: usize,
}

/// A network: operations over symbolic shapes with lazy weights.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    name: String,
    values: Vec<Option<Value>>,
    inputs: Vec<(Arc<str>, ValueId)>,
    outputs: Vec<Output>,
    params: BTreeMap<Arc<str>, Param>,
    marks: BTreeMap<String, ValueId>,
    symbols: BTreeMap<Symbol, SymbolInfo>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The name, usually the reference class.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames the graph.
    pub(crate) fn set_name(&mut self, name: &str) {
        self.name = name.into();
    }

    /// Declares a symbol and returns it as a dimension.
    pub fn symbol(&mut self, name: &str, meaning: &str, usual: usize) -> Dim {
        self.symbols.entry(name.into()).or_insert(SymbolInfo { meaning: meaning.into(), usual });
        Dim::symbol(name)
    }

    /// The declared symbols.
    pub fn symbols(&self) -> &BTreeMap<Symbol, SymbolInfo> {
        &self.symbols
    }

    /// Adds an input.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn input(&mut self, name: &str, ty: Type) -> Result<ValueId> {
        if self.inputs.iter().any(|(other, _)| &**other == name) {
            return Err(GraphError::Name { kind: "input", name: name.into(), reason: "is declared twice" });
        }
        let name: Arc<str> = name.into();
        let id = self.insert(Value { def: Def::Input(name.clone()), ty, origin: name.clone() });
        self.inputs.push((name, id));
        Ok(id)
    }

    /// Declares a float parameter of the reference library's name. Its value has type f32 whatever the storage type;
    /// integer storage (`i64` weights) gives an `i64` value.
    ///
    /// # Errors
    /// When the name is taken or the weight's shape differs.
    pub fn param(&mut self, name: &str, shape: &[usize], weight: Option<Weight>) -> Result<ValueId> {
        let dtype = match &weight {
            Some(weight) if !weight.dtype().is_float() => DType::I64,
            _ => DType::F32,
        };
        self.param_of(name, dtype, shape, weight)
    }

    /// As [`Graph::param`], with the value's type given: `f32`, or `i64` for tables of integers.
    ///
    /// # Errors
    /// When the name is taken or the weight's shape differs.
    pub(crate) fn param_of(&mut self, name: &str, dtype: DType, shape: &[usize], weight: Option<Weight>) -> Result<ValueId> {
        if self.params.contains_key(name) {
            return Err(GraphError::Name { kind: "parameter", name: name.into(), reason: "is declared twice" });
        }
        if let Some(weight) = &weight
            && weight.shape() != shape
        {
            let reason = WeightError::Shape { shape: weight.shape().to_vec(), needed: shape.to_vec() };
            return Err(GraphError::Weight { name: name.into(), reason });
        }
        let key: Arc<str> = name.into();
        let ty = Type { dtype, shape: Shape::known(shape) };
        let value = self.insert(Value { def: Def::Param(key.clone()), ty, origin: key.clone() });
        self.params.insert(key, Param { shape: shape.to_vec(), value, weight });
        Ok(value)
    }

    /// Adds an operation; its result type is inferred.
    ///
    /// # Errors
    /// When the inputs do not fit the operation.
    pub fn push(&mut self, op: Op, inputs: &[ValueId], origin: &str) -> Result<ValueId> {
        let types: Vec<&Type> = inputs.iter().map(|&id| &self.value(id).ty).collect();
        let ty = infer(&op, &types).map_err(|reason| GraphError::Infer { op: op.name(), origin: origin.into(), reason })?;
        Ok(self.insert(Value { def: Def::Op { op, inputs: inputs.into() }, ty, origin: origin.into() }))
    }

    /// Names a result.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn output(&mut self, name: &str, value: ValueId) -> Result<()> {
        if self.outputs.iter().any(|output| output.name == name) {
            return Err(GraphError::Name { kind: "output", name: name.into(), reason: "is declared twice" });
        }
        self.outputs.push(Output { name: name.into(), value });
        Ok(())
    }

    /// Marks a value as the result of the reference module at `path` (`mid_block.resnets.1`): discriminator taps and
    /// reference activations are found by it. A second mark of the same path replaces the first.
    pub fn mark(&mut self, path: &str, value: ValueId) {
        self.marks.insert(path.into(), value);
    }

    /// All marks by path.
    pub fn marks(&self) -> &BTreeMap<String, ValueId> {
        &self.marks
    }

    /// Keeps only the marks for which `keep` holds: what is not marked may be rewritten away.
    pub fn retain_marks(&mut self, keep: impl Fn(&str) -> bool) {
        self.marks.retain(|path, _| keep(path));
    }

    /// Replaces all outputs.
    pub fn set_outputs(&mut self, outputs: Vec<Output>) {
        self.outputs = outputs;
    }

    /// A value of this graph.
    ///
    /// # Panics
    /// When the id belongs to another graph or its value was removed, which is a defect of the caller.
    pub fn value(&self, id: ValueId) -> &Value {
        match self.values.get(id.index()) {
            Some(Some(value)) => value,
            _ => panic!("value {} is not in graph `{}`", id.0, self.name),
        }
    }

    /// Whether the id names a value that still exists.
    pub fn contains(&self, id: ValueId) -> bool {
        matches!(self.values.get(id.index()), Some(Some(_)))
    }

    /// All values in creation order; after rewrites this need not be a topological order, see [`Graph::order`].
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().filter_map(|(i, v)| v.as_ref().map(|v| (ValueId(i as u32), v)))
    }

    /// The inputs, in the reference library's argument order.
    pub fn inputs(&self) -> &[(Arc<str>, ValueId)] {
        &self.inputs
    }

    /// The outputs, in the reference library's order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The parameters by name.
    pub fn params(&self) -> &BTreeMap<Arc<str>, Param> {
        &self.params
    }

    /// Number of parameter elements.
    pub fn param_elements(&self) -> u64 {
        self.params.values().map(|p| p.shape.iter().map(|&s| s as u64).product::<u64>()).sum()
    }

    /// Gives a parameter its data.
    ///
    /// # Errors
    /// When there is no such parameter or the shape differs.
    pub fn set_weight(&mut self, name: &str, weight: Weight) -> Result<()> {
        let Some(param) = self.params.get_mut(name) else {
            return Err(GraphError::Name { kind: "parameter", name: name.into(), reason: "is not in the graph" });
        };
        if weight.shape() != param.shape {
            let reason = WeightError::Shape { shape: weight.shape().to_vec(), needed: param.shape.clone() };
            return Err(GraphError::Weight { name: name.into(), reason });
        }
        param.weight = Some(weight);
        Ok(())
    }

    /// The operation and its inputs, if the value is the result of one.
    pub fn op(&self, id: ValueId) -> Option<(&Op, &[ValueId])> {
        match &self.value(id).def {
            Def::Op { op, inputs } => Some((op, inputs)),
            Def::Input(_) | Def::Param(_) => None,
        }
    }

    /// Operations that outputs and marks need, every one after its inputs; deterministic.
    ///
    /// Roots are visited depth first in the order of outputs, then marks.
    pub fn order(&self) -> Vec<ValueId> {
        let roots: Vec<ValueId> = self.outputs.iter().map(|o| o.value).chain(self.marks.values().copied()).collect();
        self.order_from(&roots)
    }

    /// As [`Graph::order`], for the given roots only.
    pub(crate) fn order_from(&self, roots: &[ValueId]) -> Vec<ValueId> {
        let mut done = vec![false; self.values.len()];
        let mut order = Vec::new();
        for &root in roots {
            // Explicit stack: checkpoints are deep, threads' stacks are not.
            let mut stack = vec![(root, 0usize)];
            while let Some((id, next)) = stack.pop() {
                if done[id.index()] {
                    continue;
                }
                let inputs = self.op(id).map(|(_, inputs)| inputs).unwrap_or_default();
                if let Some(&input) = inputs.get(next) {
                    stack.push((id, next + 1));
                    if !done[input.index()] {
                        stack.push((input, 0));
                    }
                } else {
                    done[id.index()] = true;
                    if self.op(id).is_some() {
                        order.push(id);
                    }
                }
            }
        }
        order
    }

    /// For every value the operations that read it (one entry per use), in creation order.
    pub fn users(&self) -> BTreeMap<ValueId, Vec<ValueId>> {
        let mut users: BTreeMap<ValueId, Vec<ValueId>> = BTreeMap::new();
        for (id, value) in self.values() {
            if let Def::Op { inputs, .. } = &value.def {
                for &input in inputs {
                    users.entry(input).or_default().push(id);
                }
            }
        }
        users
    }

    /// Makes every user of `old` (operations, outputs, marks) read `new` instead.
    ///
    /// # Errors
    /// When the types differ.
    pub fn replace(&mut self, old: ValueId, new: ValueId) -> Result<()> {
        if self.value(old).ty != self.value(new).ty {
            let reason = InferError::Replace { old: self.value(old).ty.to_string(), new: self.value(new).ty.to_string() };
            return Err(GraphError::Infer { op: "replace", origin: self.value(old).origin.to_string(), reason });
        }
        for value in self.values.iter_mut().flatten() {
            if let Def::Op { inputs, .. } = &mut value.def {
                inputs.iter_mut().filter(|input| **input == old).for_each(|input| *input = new);
            }
        }
        self.outputs.iter_mut().filter(|o| o.value == old).for_each(|o| o.value = new);
        self.marks.values_mut().filter(|v| **v == old).for_each(|v| *v = new);
        Ok(())
    }

    /// Removes operations and parameters that neither outputs nor marks need, and returns how many operations went.
    /// Inputs stay: they are the public contract.
    pub fn remove_dead(&mut self) -> usize {
        let mut live: BTreeSet<ValueId> = self.inputs.iter().map(|(_, id)| *id).collect();
        live.extend(self.outputs.iter().map(|o| o.value).chain(self.marks.values().copied()));
        for id in self.order() {
            live.insert(id);
            live.extend(self.op(id).map(|(_, inputs)| inputs).unwrap_or_default());
        }
        let mut removed = 0;
        for (i, slot) in self.values.iter_mut().enumerate() {
            if slot.is_some() && !live.contains(&ValueId(i as u32)) {
                removed += usize::from(matches!(slot, Some(Value { def: Def::Op { .. }, .. })));
                *slot = None;
            }
        }
        self.params.retain(|_, param| live.contains(&param.value));
        removed
    }

    /// Removes the given operations and parameters if nothing reads them, then what only they read, and returns how many
    /// operations went. Inputs, outputs and marks stay.
    pub(crate) fn remove_unread(&mut self, candidates: &[ValueId]) -> usize {
        let mut reads = vec![0usize; self.values.len()];
        for (_, value) in self.values() {
            if let Def::Op { inputs, .. } = &value.def {
                inputs.iter().for_each(|input| reads[input.index()] += 1);
            }
        }
        self.outputs.iter().map(|output| output.value).chain(self.marks.values().copied()).for_each(|id| reads[id.index()] += 1);
        let mut removed = 0;
        let mut candidates = candidates.to_vec();
        while let Some(id) = candidates.pop() {
            if reads[id.index()] > 0 {
                continue;
            }
            match self.values[id.index()].take() {
                Some(Value { def: Def::Op { inputs, .. }, .. }) => {
                    removed += 1;
                    inputs.iter().for_each(|input| reads[input.index()] -= 1);
                    candidates.extend(inputs);
                }
                Some(Value { def: Def::Param(name), .. }) => {
                    self.params.remove(&name);
                }
                input @ Some(Value { def: Def::Input(_), .. }) => self.values[id.index()] = input,
                None => {}
            }
        }
        removed
    }

    /// Binds symbols from the concrete shapes of all inputs.
    ///
    /// # Errors
    /// When a shape does not fit its input's declaration.
    pub fn bind(&self, shape_of: impl Fn(&str) -> Option<Vec<usize>>) -> Result<Bindings> {
        let mut bindings = Bindings::new();
        for (name, id) in &self.inputs {
            let sizes = shape_of(name).ok_or_else(|| GraphError::Input {
                name: name.to_string(),
                reason: InputError::Missing { wanted: self.value(*id).ty.to_string() },
            })?;
            self.value(*id).ty.shape.bind(name, &sizes, &mut bindings)?;
        }
        Ok(bindings)
    }

    /// The graph that computes only the marked values at `paths`, as outputs of those names in the given order.
    ///
    /// # Errors
    /// When a path is not marked.
    pub fn tapped(&self, paths: &[String]) -> Result<Graph> {
        let mut graph = self.clone();
        let mut outputs = Vec::new();
        for path in paths {
            let value = *self.marks.get(path).ok_or_else(|| GraphError::Name {
                kind: "mark",
                name: path.clone(),
                reason: "is not in the graph; `dmdx-import inspect --marks` lists them",
            })?;
            outputs.push(Output { name: path.clone(), value });
        }
        graph.set_outputs(outputs);
        graph.retain_marks(|path| paths.iter().any(|p| p == path));
        graph.remove_dead();
        Ok(graph)
    }

    /// Breaks the graph for the tests of `verify`.
    #[cfg(test)]
    pub(crate) fn corrupt(&mut self, id: ValueId, change: impl FnOnce(&mut Value)) {
        if let Some(Some(value)) = self.values.get_mut(id.index()) {
            change(value);
        }
    }

    fn insert(&mut self, value: Value) -> ValueId {
        self.values.push(Some(value));
        ValueId((self.values.len() - 1) as u32)
    }
}

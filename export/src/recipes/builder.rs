//! Collects ONNX nodes, initializers and names while a graph is lowered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dmdx_graph::ir::Symbol;
use dmdx_graph::weights::{WeightExpr, encode};
use dmdx_graph::{DType, Def, Dim, Graph, GraphError, Shape, ValueId, Weight};

use super::storage::Stored;
use crate::error::{ExportError, Result};
use crate::onnx::proto::{AttributeProto, NodeProto};
use crate::onnx::{attribute, element_type};

/// The layout in which an operation wants a weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As the reference library stores it.
    Plain,
    /// A matrix with its two dimensions swapped.
    Transposed,
    /// Another shape.
    Reshaped(Vec<usize>),
}

/// The model under construction. The last node that a lowering adds must produce the operation's result.
pub(crate) struct Builder<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) weights: BTreeMap<String, Weight>,
    pub(crate) constants: BTreeMap<String, Weight>,
    /// Shapes of values, where they are known better than operations tell.
    pub(crate) stated: BTreeMap<String, Shape>,
    /// Inputs whose sizes say nothing of other sizes.
    apart: BTreeSet<ValueId>,
    /// Types that matrices may be stored in.
    storage: &'static [DType],
    names: BTreeMap<ValueId, String>,
    taken: BTreeMap<String, usize>,
    forms: BTreeMap<(Arc<str>, Form), String>,
    literals: BTreeMap<(DType, Vec<usize>, Vec<u8>), String>,
    sizes: BTreeMap<Dim, String>,
    shapes: BTreeMap<String, String>,
    origin: String,
}

impl<'g> Builder<'g> {
    /// Starts with the graph's inputs under the given names; `reserved` names are not given to anything else. The sizes of
    /// the inputs `apart` say nothing of others; weights may be stored in the types `storage`.
    pub(crate) fn new<'n>(
        graph: &'g Graph,
        inputs: &[(ValueId, String)],
        reserved: impl Iterator<Item = &'n str>,
        apart: &[ValueId],
        storage: &'static [DType],
    ) -> Self {
        let names: BTreeMap<ValueId, String> = inputs.iter().cloned().collect();
        let params = graph.params().keys().map(|name| name.to_string());
        let taken = names.values().cloned().chain(params).chain(reserved.map(String::from)).map(|name| (name, 1)).collect();
        Self {
            graph,
            nodes: Vec::new(),
            weights: BTreeMap::new(),
            constants: BTreeMap::new(),
            stated: BTreeMap::new(),
            apart: apart.iter().copied().collect(),
            storage,
            names,
            taken,
            forms: BTreeMap::new(),
            literals: BTreeMap::new(),
            sizes: BTreeMap::new(),
            shapes: BTreeMap::new(),
            origin: String::new(),
        }
    }

    /// Names of the nodes that follow start with this module path (rule marks of rewrites left out).
    pub(crate) fn set_origin(&mut self, origin: &str) {
        self.origin = origin.split(" <- ").next().unwrap_or_default().to_string();
    }

    /// The module path of the operation at hand.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// A name that nothing else has.
    fn unique(&mut self, base: &str) -> String {
        let mut name = base.to_string();
        while self.taken.contains_key(&name) {
            let count = self.taken.entry(base.to_string()).or_insert(0);
            name = format!("{base}_{count}");
            *count += 1;
        }
        self.taken.insert(name.clone(), 1);
        name
    }

    /// Adds a node with one output and returns the output's name, which is the node's name too.
    pub(crate) fn node(&mut self, op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = self.unique(&format!("{}/{op_type}", self.origin));
        self.push(op_type, inputs, vec![name.clone()], name.clone(), attributes);
        name
    }

    /// Adds a node with several outputs.
    pub(crate) fn node_with_outputs(&mut self, op_type: &str, inputs: &[&str], count: usize) -> Vec<String> {
        let name = self.unique(&format!("{}/{op_type}", self.origin));
        let outputs: Vec<String> = (0..count).map(|i| self.unique(&format!("{name}.{i}"))).collect();
        self.push(op_type, inputs, outputs.clone(), name, vec![attribute::int("axis", -1)]);
        outputs
    }

    fn push(&mut self, op_type: &str, inputs: &[&str], output: Vec<String>, name: String, attribute: Vec<AttributeProto>) {
        let input = inputs.iter().map(|&input| input.into()).collect();
        self.nodes.push(NodeProto { input, output, name, op_type: op_type.into(), attribute, domain: String::new() });
    }

    /// Records the result of an operation.
    pub(crate) fn define(&mut self, id: ValueId, name: String) {
        self.state(&name, &self.graph.value(id).ty.shape);
        self.names.insert(id, name);
    }

    /// States the shape of a value that a recipe computes on its way.
    pub(crate) fn state(&mut self, name: &str, shape: &Shape) {
        self.stated.insert(name.into(), shape.clone());
    }

    /// Repeats an input that may be given once to the size that the graph wants.
    pub(crate) fn spread(&mut self, id: ValueId) -> Result<()> {
        let name = self.value(id)?;
        self.set_origin(&name);
        let shape: Vec<Entry<'_>> = self.graph.value(id).ty.shape.0.iter().map(Entry::of).collect();
        let shape = self.shape_vector(&shape)?;
        let spread = self.node("Expand", &[&name, &shape], vec![]);
        self.define(id, spread);
        Ok(())
    }

    /// The ONNX name of a value; a parameter becomes an initializer in its plain form.
    pub(crate) fn value(&mut self, id: ValueId) -> Result<String> {
        if let Some(name) = self.names.get(&id) {
            return Ok(name.clone());
        }
        match self.param(id, Form::Plain)? {
            Some(name) => Ok(name),
            // Inputs are named at the start and operations come after their inputs.
            None => Err(ExportError::Name {
                graph: self.graph.name().into(),
                kind: "value",
                name: self.graph.value(id).origin.to_string(),
                problem: "is used before it is computed; the graph breaks its invariants, run verify on it",
            }),
        }
    }

    /// The parameter `id` in that form, or `None` if the value is not a parameter. The reference's tensor carries the
    /// reference's name; another form of it says so in its name.
    pub(crate) fn param(&mut self, id: ValueId, form: Form) -> Result<Option<String>> {
        let value = self.graph.value(id);
        let Def::Param(name) = &value.def else { return Ok(None) };
        let key = (name.clone(), form.clone());
        if let Some(known) = self.forms.get(&key) {
            return Ok(Some(known.clone()));
        }
        let missing = || ExportError::NoWeight { graph: self.graph.name().into(), name: name.to_string() };
        let weight = self.graph.params().get(name).and_then(|p| p.weight.clone()).ok_or_else(missing)?;
        let stored = Stored::of(weight, value.ty.dtype, self.storage);
        let fail = |reason| GraphError::Weight { name: name.to_string(), reason };
        let (weight, suffix) = match &form {
            Form::Plain => (stored.weight, ""),
            Form::Transposed => (WeightExpr::permute(stored.weight, &[1, 0]).map_err(fail)?, ".transposed"),
            Form::Reshaped(shape) => (WeightExpr::reshape(stored.weight, shape.clone()).map_err(fail)?, ".reshaped"),
        };
        let scaled = if stored.power == 0 { "" } else { ".scaled" };
        let full = format!("{name}{scaled}{suffix}");
        // Names of parameters are reserved for them.
        let initializer = if full == **name { full } else { self.unique(&full) };
        let is_stored_otherwise = weight.dtype() != value.ty.dtype;
        self.weights.insert(initializer.clone(), weight);
        let result = match is_stored_otherwise {
            true => self.widened(&initializer, value.ty.dtype, stored.power),
            false => initializer,
        };
        self.forms.insert(key, result.clone());
        Ok(Some(result))
    }

    /// A stored weight as what is computed with, which engines fold into a constant when they load the file.
    fn widened(&mut self, initializer: &str, dtype: DType, power: i32) -> String {
        let origin = std::mem::replace(&mut self.origin, initializer.into());
        let mut wide = self.node("Cast", &[initializer], vec![attribute::int("to", element_type(dtype) as i64)]);
        if power != 0 {
            let factor = self.scalar(f64::from(-power).exp2(), dtype);
            wide = self.node("Mul", &[&wide, &factor], vec![]);
        }
        self.origin = origin;
        wide
    }

    /// A constant with these elements; equal ones are stored once.
    fn literal(&mut self, values: &[f64], dtype: DType, shape: &[usize]) -> String {
        let bytes = encode(values.iter().copied(), dtype);
        let key = (dtype, shape.to_vec(), bytes);
        if let Some(name) = self.literals.get(&key) {
            return name.clone();
        }
        let name = self.unique("constant");
        let weight = Weight::Owned { bytes: key.2.as_slice().into(), dtype, shape: shape.to_vec() };
        self.constants.insert(name.clone(), weight);
        self.literals.insert(key, name.clone());
        name
    }

    /// A scalar of the given type.
    pub(crate) fn scalar(&mut self, value: f64, dtype: DType) -> String {
        self.literal(&[value], dtype, &[])
    }

    /// A float vector or tensor.
    pub(crate) fn floats(&mut self, values: &[f64], dtype: DType, shape: &[usize]) -> String {
        self.literal(values, dtype, shape)
    }

    /// A one-dimensional constant of integers (below 2^53).
    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        self.int_table(values, &[values.len()])
    }

    /// A constant of integers (below 2^53).
    pub(crate) fn int_table(&mut self, values: &[i64], shape: &[usize]) -> String {
        let values: Vec<f64> = values.iter().map(|&v| v as f64).collect();
        self.literal(&values, DType::I64, shape)
    }

    /// The shape of a value at run time, as one vector.
    pub(crate) fn shape_of(&mut self, name: &str) -> String {
        if let Some(known) = self.shapes.get(name) {
            return known.clone();
        }
        let shape = self.node("Shape", &[name], vec![]);
        self.shapes.insert(name.into(), shape.clone());
        shape
    }

    /// A size at run time, as a vector of one integer, computed from the shapes of the graph's inputs.
    pub(crate) fn size(&mut self, dim: &Dim) -> Result<String> {
        if let Some(size) = dim.known() {
            return Ok(self.ints(&[size as i64]));
        }
        if let Some(known) = self.sizes.get(dim) {
            return Ok(known.clone());
        }
        let direct = self.input_axis(|have| (have == dim).then_some(1));
        let name = match direct {
            Some((input, axis, _)) => self.axis_size(&input, axis),
            None => self.polynomial(dim)?,
        };
        self.sizes.insert(dim.clone(), name.clone());
        Ok(name)
    }

    fn polynomial(&mut self, dim: &Dim) -> Result<String> {
        let terms: Vec<(Vec<Symbol>, i64)> = dim.terms().map(|(factors, c)| (factors.to_vec(), c)).collect();
        let mut total: Option<String> = None;
        for (factors, coefficient) in terms {
            let mut product: Option<String> = None;
            for symbol in &factors {
                let size = self.symbol(symbol, dim)?;
                product = Some(match product {
                    Some(left) => self.node("Mul", &[&left, &size], vec![]),
                    None => size,
                });
            }
            let factor = (coefficient != 1 || product.is_none()).then(|| self.ints(&[coefficient]));
            let term = match (product, factor) {
                (Some(product), Some(factor)) => self.node("Mul", &[&product, &factor], vec![]),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => continue,
            };
            total = Some(match total {
                Some(left) => self.node("Add", &[&left, &term], vec![]),
                None => term,
            });
        }
        Ok(total.unwrap_or_else(|| self.ints(&[0])))
    }

    fn symbol(&mut self, symbol: &Symbol, dim: &Dim) -> Result<String> {
        let single = Dim::symbol(symbol);
        if let Some(known) = self.sizes.get(&single) {
            return Ok(known.clone());
        }
        let found = self.input_axis(|have| have.as_scaled_symbol().filter(|(s, _)| *s == symbol).map(|(_, factor)| factor));
        let Some((input, axis, factor)) = found else {
            return Err(ExportError::Size { origin: self.origin.clone(), dim: dim.to_string() });
        };
        let mut size = self.axis_size(&input, axis);
        if factor > 1 {
            let divisor = self.ints(&[factor as i64]);
            size = self.node("Div", &[&size, &divisor], vec![]);
        }
        self.sizes.insert(single, size.clone());
        Ok(size)
    }

    fn axis_size(&mut self, input: &str, axis: usize) -> String {
        let range = vec![attribute::int("start", axis as i64), attribute::int("end", axis as i64 + 1)];
        self.node("Shape", &[input], range)
    }

    /// The input and axis with the smallest factor that `fits` reports.
    fn input_axis(&self, fits: impl Fn(&Dim) -> Option<usize>) -> Option<(String, usize, usize)> {
        let inputs = self.graph.inputs().iter().filter(|(_, id)| !self.apart.contains(id));
        let axes = inputs.flat_map(|(_, id)| self.graph.value(*id).ty.shape.0.iter().enumerate().map(move |(i, d)| (*id, i, d)));
        let fitting = axes.filter_map(|(id, axis, dim)| Some((self.names.get(&id)?.clone(), axis, fits(dim)?)));
        fitting.min_by_key(|(_, _, factor)| *factor)
    }

    /// A shape vector of one entry per dimension, from the parts that are known and those computed at run time.
    pub(crate) fn shape_vector(&mut self, entries: &[Entry<'_>]) -> Result<String> {
        if let Some(known) = entries.iter().map(Entry::known).collect::<Option<Vec<i64>>>() {
            return Ok(self.ints(&known));
        }
        let mut parts: Vec<String> = Vec::new();
        let mut run: Vec<i64> = Vec::new();
        for entry in entries {
            match entry {
                Entry::Known(size) => run.push(*size),
                Entry::Computed(dim) => {
                    if !run.is_empty() {
                        parts.push(self.ints(&run));
                        run.clear();
                    }
                    parts.push(self.size(dim)?);
                }
            }
        }
        if !run.is_empty() {
            parts.push(self.ints(&run));
        }
        if let [only] = parts.as_slice() {
            return Ok(only.clone());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(self.node("Concat", &parts, vec![attribute::int("axis", 0)]))
    }

    /// Adds the reshape of `x` from one shape to another with the same number of elements. ONNX's `0` (as before) and `-1`
    /// (what is left) replace arithmetic wherever they can.
    pub(crate) fn reshape(&mut self, x: &str, from: &Shape, to: &Shape) -> Result<String> {
        let mut entries: Vec<Entry<'_>> = Vec::with_capacity(to.rank());
        let mut computed = Vec::new();
        for (i, dim) in to.0.iter().enumerate() {
            entries.push(match dim.known() {
                Some(size) => Entry::Known(size as i64),
                None if from.0.get(i) == Some(dim) => Entry::Known(0),
                None => {
                    computed.push(i);
                    Entry::Computed(dim)
                }
            });
        }
        if let Some(&last) = computed.last() {
            entries[last] = Entry::Known(-1);
        }
        let shape = self.shape_vector(&entries)?;
        let result = self.node("Reshape", &[x, &shape], vec![]);
        self.state(&result, to);
        Ok(result)
    }

    /// Makes the result of the last node carry a given name; `false` if another node made `result`.
    pub(crate) fn rename_last(&mut self, result: &str, name: &str) -> bool {
        match self.nodes.last_mut() {
            Some(node) if node.output.len() == 1 && node.output[0] == result => {
                node.output[0] = name.into();
                if let Some(shape) = self.stated.remove(result) {
                    self.stated.insert(name.into(), shape);
                }
                true
            }
            _ => false,
        }
    }
}

/// One dimension of a shape vector.
pub(crate) enum Entry<'d> {
    /// A number, or ONNX's 0 and -1.
    Known(i64),
    /// Computed at run time.
    Computed(&'d Dim),
}

impl<'d> Entry<'d> {
    /// The size as a number if it is known.
    pub(crate) fn of(dim: &'d Dim) -> Self {
        dim.known().map_or(Entry::Computed(dim), |size| Entry::Known(size as i64))
    }

    fn known(&self) -> Option<i64> {
        match self {
            Entry::Known(size) => Some(*size),
            Entry::Computed(_) => None,
        }
    }
}

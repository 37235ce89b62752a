//! The graph under construction, and what is known of the file's values.

use std::collections::BTreeMap;
use std::rc::Rc;

use dmdx_graph::{Dim, Graph, GraphError, Op, Shape, ValueId, Weight};

use super::constant::{Budget, Constant};
use super::item::Item;
use super::site::Site;
use super::sizes::within_limits;
use crate::error::ImportError;
use crate::onnx::model::{CLASS, OnnxModel};

pub(super) struct Converter<'m> {
    pub model: &'m OnnxModel,
    pub graph: Graph,
    pub items: BTreeMap<&'m str, Item>,
    /// Parameters by the name of the ONNX value.
    pub params: BTreeMap<String, ValueId>,
    /// Sizes by the names that the file gives them.
    pub sizes: BTreeMap<String, Dim>,
    pub budget: Budget,
    /// How many nodes of a domain and operation were refused for a reason.
    refused: BTreeMap<(String, String), usize>,
    pub origin: String,
}

impl<'m> Converter<'m> {
    /// The weights of a model, and nothing yet of its nodes.
    pub(super) fn new(model: &'m OnnxModel) -> Self {
        let items = model.initializers.iter().map(|(name, weight)| (name.as_str(), Item::Weight(weight.clone())));
        Self {
            model,
            graph: Graph::new(CLASS),
            items: items.collect(),
            params: BTreeMap::new(),
            sizes: BTreeMap::new(),
            budget: Budget::new(&model.options.limits),
            refused: BTreeMap::new(),
            origin: String::new(),
        }
    }

    /// Adds an operation at the node at hand.
    pub(super) fn push(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, String> {
        let origin = std::mem::take(&mut self.origin);
        let pushed = self.graph.push(op, inputs, &origin);
        self.origin = origin;
        let id = pushed.map_err(|error| match error {
            GraphError::Infer { reason, .. } => reason.to_string(),
            other => other.to_string(),
        })?;
        within_limits(&self.graph.value(id).ty.shape)?;
        Ok(id)
    }

    pub(super) fn shape(&self, id: ValueId) -> &Shape {
        &self.graph.value(id).ty.shape
    }

    /// An input as a value of the graph.
    pub(super) fn value(&mut self, site: &Site<'_>, index: usize) -> Result<ValueId, String> {
        let item = site.input(index)?.clone();
        self.value_of(&item, site.node.inputs[index])
    }

    /// An input that may be left out as a value of the graph.
    pub(super) fn optional_value(&mut self, site: &Site<'_>, index: usize) -> Result<Option<ValueId>, String> {
        site.optional(index).is_some().then(|| self.value(site, index)).transpose()
    }

    /// What is known of a value as a value of the graph; `name` is the file's for it.
    pub(super) fn value_of(&mut self, item: &Item, name: &str) -> Result<ValueId, String> {
        let weight = match item {
            Item::Value(id) => return Ok(*id),
            Item::Weight(weight) => weight.clone(),
            Item::Constant(constant) => constant.weight()?,
            Item::Erf(_) | Item::ErfPlusOne(..) => return Err("Erf is read as part of a GELU only".into()),
            Item::Position(_) | Item::Counting(..) | Item::IsId(..) => {
                return Err("positions and comparisons of ids are read where a token stands for its text only".into());
            }
            Item::Lost => return Err("its input was refused".into()),
        };
        if let Some(id) = self.params.get(name) {
            return Ok(*id);
        }
        let id = self.param(name, weight)?;
        self.params.insert(name.into(), id);
        Ok(id)
    }

    /// A new parameter, under another name if something computed here has taken this one.
    pub(super) fn param(&mut self, name: &str, weight: Weight) -> Result<ValueId, String> {
        let mut unique = name.to_string();
        while self.graph.params().contains_key(unique.as_str()) {
            unique.push('_');
        }
        let shape = weight.shape().to_vec();
        self.graph.param(&unique, &shape, Some(weight)).map_err(|error| error.to_string())
    }

    /// An input as a constant.
    pub(super) fn constant(&mut self, site: &Site<'_>, index: usize) -> Result<Rc<Constant>, String> {
        match self.known(site, index)? {
            Some(constant) => Ok(constant),
            None => Err(format!("its input {index} has to be a constant")),
        }
    }

    /// An input that may be left out as a constant.
    pub(super) fn optional_constant(&mut self, site: &Site<'_>, index: usize) -> Result<Option<Rc<Constant>>, String> {
        site.optional(index).is_some().then(|| self.constant(site, index)).transpose()
    }

    /// An input as a constant if it is one; weights are read.
    pub(super) fn known(&mut self, site: &Site<'_>, index: usize) -> Result<Option<Rc<Constant>>, String> {
        match site.optional(index) {
            Some(Item::Constant(constant)) => Ok(Some(constant.clone())),
            Some(Item::Weight(weight)) => Ok(Some(Rc::new(Constant::of(weight, &mut self.budget)?))),
            _ => Ok(None),
        }
    }

    /// A float of one element, if the input is that.
    pub(super) fn scalar(&mut self, site: &Site<'_>, index: usize) -> Option<f64> {
        match site.optional(index)? {
            Item::Constant(constant) => constant.scalar(),
            Item::Weight(weight) if weight.elements() == 1 && weight.dtype().is_float() => weight.to_f64().first().copied(),
            _ => None,
        }
        .filter(|value| value.is_finite())
    }

    /// Repeats a value along new leading dimensions, or along those of size 1.
    pub(super) fn expanded(&mut self, x: ValueId, shape: Shape) -> Result<ValueId, String> {
        if *self.shape(x) == shape { Ok(x) } else { self.push(Op::Expand { shape }, &[x]) }
    }

    /// Counts a node, or an output, that cannot be converted.
    pub(super) fn refuse(&mut self, what: String, reason: String) {
        *self.refused.entry((what, reason)).or_insert(0) += 1;
    }

    /// The graph, or everything that was refused.
    pub(super) fn finish(mut self) -> crate::error::Result<Graph> {
        if !self.refused.is_empty() {
            let line = |((operation, reason), count): (&(String, String), &usize)| match count {
                1 => format!("{operation} (1 node): {reason}"),
                count => format!("{operation} ({count} nodes): {reason}"),
            };
            let refused = self.refused.iter().map(line).collect();
            return Err(ImportError::OnnxOperations { path: self.model.path.clone(), refused });
        }
        self.graph.remove_dead();
        self.graph.verify()?;
        Ok(self.graph)
    }
}

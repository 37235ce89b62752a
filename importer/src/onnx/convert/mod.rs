//! ONNX nodes to graph operations: what depends only on constants and sizes is computed here, everything else becomes
//! operations. What cannot be converted is collected, so that one error lists all of it.

mod arithmetic;
mod constant;
mod dense;
mod einsum;
mod elementwise;
mod fold;
mod index;
mod norm;
mod rearrange;
mod shape;
mod site;
mod sizes;

use std::collections::BTreeMap;
use std::rc::Rc;

use dmdx_graph::ir::PoolRule;
use dmdx_graph::{DType, Dim, Graph, Op, Shape, Type, ValueId, Weight};

use self::constant::{Budget, Constant};
use self::site::Site;
use super::tensor::dtype_of;
use super::view::{Node, Size, ValueInfo, bytes, repeated};
use super::{OnnxModel, check, shown};
use crate::error::{ImportError, Result};

/// Terms that all sizes of one shape may have when they are multiplied out.
const MOST_TERMS: usize = 256;
/// Symbols in one term of a size.
const MOST_FACTORS: usize = 8;
/// Largest number in a size.
const LARGEST: i64 = 1 << 40;

/// How the numbers of a computation on texts are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `[texts]`.
    Row,
    /// `[texts, 1]`.
    Column,
    /// `[texts, 2]`, with the number of the text before it.
    Pairs,
}

/// Places in texts, by their ids.
#[derive(Clone, Copy, Debug)]
struct Position {
    rule: PoolRule,
    ids: ValueId,
    form: Form,
}

/// What is known of a named value.
#[derive(Clone, Debug)]
enum Item {
    /// Elements that are known now.
    Constant(Rc<Constant>),
    /// A tensor of the file that has not been read.
    Weight(Weight),
    /// A value of the graph.
    Value(ValueId),
    /// `erf(x / √2)` of the value `x`, waiting for the rest of a GELU.
    Erf(ValueId),
    /// `factor * (1 + erf(x / √2))`.
    ErfPlusOne(ValueId, f64),
    /// Where in each text the token lies that stands for it.
    Position(Position),
    /// `0, 1, ..` up to a size, as a row or as a column.
    Counting(Dim, Form),
    /// The ids that are one particular id.
    IsId(i64, ValueId),
    /// The result of an operation that was refused.
    Lost,
}

struct Converter<'m> {
    model: &'m OnnxModel,
    graph: Graph,
    items: BTreeMap<&'m str, Item>,
    /// Parameters by the name of the ONNX value.
    params: BTreeMap<String, ValueId>,
    /// Sizes by the names that the file gives them.
    sizes: BTreeMap<String, Dim>,
    budget: Budget,
    /// How many nodes of a domain and operation were refused for a reason.
    refused: BTreeMap<(String, String), usize>,
    origin: String,
}

/// The graph of a model.
pub(super) fn convert(model: &OnnxModel) -> Result<Graph> {
    let mut converter = Converter {
        model,
        graph: Graph::new("OnnxModel"),
        items: BTreeMap::new(),
        params: BTreeMap::new(),
        sizes: BTreeMap::new(),
        budget: Budget::new(&model.options.limits),
        refused: BTreeMap::new(),
        origin: String::new(),
    };
    let graph = model.graph_bytes();
    for (name, weight) in &model.initializers {
        converter.items.insert(name, Item::Weight(weight.clone()));
    }
    for input in repeated(graph, 11).map(|value| ValueInfo::new(bytes(value))) {
        if !model.initializers.contains_key(input.name) {
            converter.input(&input)?;
        }
    }
    for node in repeated(graph, 1) {
        converter.node(&Node::new(bytes(node)));
    }
    for output in repeated(graph, 12).map(|value| ValueInfo::new(bytes(value))) {
        converter.output(&output);
    }
    converter.finish()
}

impl<'m> Converter<'m> {
    fn input(&mut self, info: &ValueInfo<'m>) -> Result<()> {
        let fail = |reason: String| ImportError::Onnx {
            path: self.model.path.clone(),
            defects: vec![format!("the input `{}` {reason}", shown(info.name))],
            more: 0,
        };
        let (element, sizes) = info.tensor.as_ref().ok_or_else(|| fail("has no tensor type".into()))?;
        let dtype = dtype_of(*element).ok_or_else(|| fail(format!("has the element type {element}")))?;
        let mut dims = Vec::with_capacity(sizes.len());
        for (axis, size) in sizes.iter().enumerate() {
            dims.push(match size {
                Size::Known(size) => Dim::constant(usize::try_from(*size).unwrap_or_default()),
                Size::Named(name) => self.named_size(name),
                Size::Unknown => self.named_size(&format!("{}_{axis}", info.name)),
            });
        }
        let shape = Shape(dims);
        within_limits(&shape).map_err(fail)?;
        let id = self.graph.input(info.name, Type { dtype, shape })?;
        self.items.insert(info.name, Item::Value(id));
        Ok(())
    }

    /// A size by the name that the file gives it: an expression such as `8*h`, or any text, which becomes one symbol.
    fn named_size(&mut self, name: &str) -> Dim {
        if let Some(dim) = self.sizes.get(name) {
            return dim.clone();
        }
        let parsed = name.parse::<Dim>().ok().filter(|dim| {
            let counts = dim.terms().all(|(_, coefficient)| coefficient > 0);
            counts && dim.symbols().next().is_some() && within_limits(&Shape(vec![dim.clone()])).is_ok()
        });
        let dim = parsed.unwrap_or_else(|| {
            let plain: String = name.chars().take(60).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let mut symbol = format!("size_{plain}");
            while self.graph.symbols().contains_key(symbol.as_str()) {
                symbol.push('_');
            }
            Dim::symbol(&symbol)
        });
        self.sizes.insert(name.into(), dim.clone());
        for symbol in dim.symbols().cloned().collect::<Vec<_>>() {
            self.graph.symbol(&symbol, &format!("as in the ONNX file: {}", shown(name)), 1);
        }
        dim
    }

    fn node(&mut self, node: &Node<'m>) {
        let domain = check::domain_of(node.domain);
        let name = if node.name.is_empty() { node.outputs.first().copied().unwrap_or_default() } else { node.name };
        self.origin = name.into();
        let inputs: Vec<Option<Item>> =
            node.inputs.iter().map(|name| if name.is_empty() { None } else { self.items.get(name).cloned() }).collect();
        let lost = inputs.iter().flatten().any(|item| matches!(item, Item::Lost));
        let site = Site::new(node, inputs, self.model.opset);
        let result = match (domain, lost) {
            ("", _) if !fold::is_known(node.op_type) => Err("it is not supported".into()),
            // Named like one of the standard, it may still mean anything.
            (other, _) if !other.is_empty() => Err("only operations of the standard domain are read".to_string()),
            // Refused for what it depends on, which is listed already.
            (_, true) => Ok(vec![Item::Lost; node.outputs.len()]),
            _ => self.convert(&site).and_then(|items| site.finish(items)),
        };
        let items = result.unwrap_or_else(|reason| {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            let operation = format!("{}.{}", shown(domain), shown(node.op_type));
            *self.refused.entry((operation, reason)).or_insert(0) += 1;
            vec![Item::Lost; node.outputs.len()]
        });
        for (name, item) in node.outputs.iter().zip(items).filter(|(name, _)| !name.is_empty()) {
            self.items.insert(name, item);
        }
    }

    fn convert(&mut self, site: &Site<'_>) -> std::result::Result<Vec<Item>, String> {
        if let Some(folded) = fold::fold(self, site)? {
            return Ok(vec![Item::Constant(Rc::new(folded))]);
        }
        let op = site.node.op_type;
        let families = [index::convert, elementwise::convert, dense::convert, norm::convert, shape::convert];
        for family in families {
            if let Some(items) = family(self, site)? {
                return Ok(items);
            }
        }
        Err(format!("{op} of values that are known only when the network runs is not supported"))
    }

    fn output(&mut self, info: &ValueInfo<'m>) {
        let Some(item) = self.items.get(info.name).cloned() else { return };
        if matches!(item, Item::Lost) {
            return;
        }
        let value = self.value_of(&item, info.name).and_then(|id| {
            let ty = self.graph.value(id).ty.clone();
            match &info.tensor {
                Some((element, sizes)) if !fits(&ty, *element, sizes) => {
                    Err(format!("is {ty}, which is not what the file declares"))
                }
                _ => self.graph.output(info.name, id).map_err(|error| error.to_string()),
            }
        });
        if let Err(reason) = value {
            *self.refused.entry((format!("the output `{}`", shown(info.name)), reason)).or_insert(0) += 1;
        }
    }

    fn finish(mut self) -> Result<Graph> {
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

    /// Adds an operation at the node at hand.
    fn push(&mut self, op: Op, inputs: &[ValueId]) -> std::result::Result<ValueId, String> {
        let origin = std::mem::take(&mut self.origin);
        let pushed = self.graph.push(op, inputs, &origin);
        self.origin = origin;
        let id = pushed.map_err(|error| match error {
            dmdx_graph::GraphError::Infer { reason, .. } => reason,
            other => other.to_string(),
        })?;
        within_limits(&self.graph.value(id).ty.shape)?;
        Ok(id)
    }

    fn shape(&self, id: ValueId) -> &Shape {
        &self.graph.value(id).ty.shape
    }

    /// An input as a value of the graph.
    fn value(&mut self, site: &Site<'_>, index: usize) -> std::result::Result<ValueId, String> {
        let item = site.input(index)?.clone();
        self.value_of(&item, site.node.inputs[index])
    }

    fn value_of(&mut self, item: &Item, name: &str) -> std::result::Result<ValueId, String> {
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
    fn param(&mut self, name: &str, weight: Weight) -> std::result::Result<ValueId, String> {
        let mut unique = name.to_string();
        while self.graph.params().contains_key(unique.as_str()) {
            unique.push('_');
        }
        let shape = weight.shape().to_vec();
        self.graph.param(&unique, &shape, Some(weight)).map_err(|error| error.to_string())
    }

    /// An input as a constant.
    fn constant(&mut self, site: &Site<'_>, index: usize) -> std::result::Result<Rc<Constant>, String> {
        match self.known(site, index)? {
            Some(constant) => Ok(constant),
            None => Err(format!("its input {index} has to be a constant")),
        }
    }

    /// An input as a constant if it is one; weights are read.
    fn known(&mut self, site: &Site<'_>, index: usize) -> std::result::Result<Option<Rc<Constant>>, String> {
        match site.optional(index) {
            Some(Item::Constant(constant)) => Ok(Some(constant.clone())),
            Some(Item::Weight(weight)) => Ok(Some(Rc::new(Constant::of(weight, &mut self.budget)?))),
            _ => Ok(None),
        }
    }

    /// A float of one element, if the input is that.
    fn scalar(&mut self, site: &Site<'_>, index: usize) -> Option<f64> {
        match site.optional(index)? {
            Item::Constant(constant) => constant.scalar(),
            Item::Weight(weight) if weight.elements() == 1 && weight.dtype().is_float() => weight.to_f64().first().copied(),
            _ => None,
        }
        .filter(|value| value.is_finite())
    }
}

/// Refuses sizes with which later arithmetic would grow without bounds.
fn within_limits(shape: &Shape) -> std::result::Result<(), String> {
    let sound = |(factors, coefficient): (&[dmdx_graph::ir::Symbol], i64)| {
        factors.len() <= MOST_FACTORS && (-LARGEST..=LARGEST).contains(&coefficient)
    };
    let terms = shape.0.iter().fold(1usize, |product, dim| product.saturating_mul(dim.terms().count().max(1)));
    if terms > MOST_TERMS || shape.rank() > 8 || !shape.0.iter().all(|dim| dim.terms().all(sound)) {
        return Err("has a shape of too many dimensions or terms, or a size that is too large".into());
    }
    // With one factor left out no product of eight sizes overflows silently.
    match shape.elements().terms().all(|(_, coefficient)| coefficient.unsigned_abs() <= 1 << 48) {
        true => Ok(()),
        false => Err("has a shape of more than 2^48 elements".into()),
    }
}

/// Whether a value is what the file declares it to be; open sizes and names are not compared.
fn fits(ty: &Type, element: i64, sizes: &[Size<'_>]) -> bool {
    let size = |(dim, size): (&Dim, &Size<'_>)| match (dim.known(), size) {
        (Some(have), Size::Known(declared)) => i64::try_from(have) == Ok(*declared),
        _ => true,
    };
    let alike = |dtype: DType| dtype == ty.dtype || (!dtype.is_float() && ty.dtype == DType::I64);
    dtype_of(element).is_some_and(alike) && ty.shape.rank() == sizes.len() && ty.shape.0.iter().zip(sizes).all(size)
}

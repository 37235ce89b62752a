//! ONNX nodes to graph operations: what depends only on constants and sizes is computed here, everything else becomes
//! operations. What cannot be converted is collected, so that one error lists all of it.

mod arithmetic;
mod branch;
mod constant;
mod converter;
mod dense;
mod einsum;
mod elementwise;
mod fold;
mod index;
mod interface;
mod item;
mod norm;
mod rearrange;
mod reshape;
mod shape;
mod site;
mod sizes;

use std::rc::Rc;

use dmdx_graph::Graph;

use self::converter::Converter;
use self::item::Item;
use self::site::Site;
use super::check;
use super::model::OnnxModel;
use super::shown::shown;
use super::view::{Node, ValueInfo, bytes, repeated};
use crate::error::Result;

/// The graph of a model.
pub(super) fn convert(model: &OnnxModel) -> Result<Graph> {
    let mut c = Converter::new(model);
    let graph = model.graph_bytes();
    for input in repeated(graph, 11).map(|value| ValueInfo::new(bytes(value))) {
        if !model.initializers.contains_key(input.name) {
            interface::input(&mut c, &input)?;
        }
    }
    for node in repeated(graph, 1).map(|message| Node::new(bytes(message))) {
        let items = items(&mut c, &node);
        c.items.extend(node.outputs.iter().copied().zip(items).filter(|(name, _)| !name.is_empty()));
    }
    for output in repeated(graph, 12).map(|value| ValueInfo::new(bytes(value))) {
        interface::output(&mut c, &output);
    }
    c.finish()
}

/// What the results of a node are; what cannot be converted is counted, and its results are lost.
fn items<'m>(c: &mut Converter<'m>, node: &Node<'m>) -> Vec<Item> {
    let domain = check::domain_of(node.domain);
    let name = if node.name.is_empty() { node.outputs.first().copied().unwrap_or_default() } else { node.name };
    c.origin = name.into();
    let inputs: Vec<Option<Item>> =
        node.inputs.iter().map(|name| if name.is_empty() { None } else { c.items.get(name).cloned() }).collect();
    let lost = inputs.iter().flatten().any(|item| matches!(item, Item::Lost));
    let site = Site::new(node, inputs, c.model.opset);
    let result = match (domain, lost) {
        ("", _) if node.op_type == "If" => branch::convert(c, node),
        ("", _) if !fold::is_known(node.op_type) => Err("it is not supported".into()),
        ("com.microsoft", _) => Err("it is made by ONNX Runtime's optimizer, take the model from before that".into()),
        // Named like one of the standard, it may still mean anything.
        (other, _) if !other.is_empty() => Err("only operations of the standard domain are read".to_string()),
        // Refused for what it depends on, which is listed already.
        (_, true) => Ok(vec![Item::Lost; node.outputs.len()]),
        _ => results(c, &site).and_then(|items| site.finish(items)),
    };
    result.unwrap_or_else(|reason| {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        c.refuse(format!("{}.{}", shown(domain), shown(node.op_type)), reason);
        vec![Item::Lost; node.outputs.len()]
    })
}

/// What the first family that knows the operation makes of it.
fn results<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> std::result::Result<Vec<Item>, String> {
    if let Some(folded) = fold::fold(c, site)? {
        return Ok(vec![Item::Constant(Rc::new(folded))]);
    }
    for family in [index::convert, elementwise::convert, dense::convert, norm::convert, shape::convert] {
        if let Some(items) = family(c, site)? {
            return Ok(items);
        }
    }
    Err(format!("{} of values that are known only when the network runs is not supported", site.node.op_type))
}

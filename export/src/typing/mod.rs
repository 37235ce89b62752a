//! Element types and sizes of every value of a lowered model, which viewers show and static importers need: those that the
//! graph states, and what follows from the definitions of ONNX's operations for what lies between them.

mod known;
mod rules;

use std::collections::BTreeMap;

use dmdx_graph::Shape;

pub(crate) use known::Known;

use crate::onnx::proto::NodeProto;

/// What is known of the results of `nodes`, by name. `sources` are inputs and initializers; `stated` are shapes that are
/// known better than the operations tell.
pub(crate) fn results(
    nodes: &[NodeProto],
    sources: BTreeMap<String, Known>,
    stated: &BTreeMap<String, Shape>,
) -> BTreeMap<String, Known> {
    let mut known = sources;
    for node in nodes {
        let inputs: Vec<Option<&Known>> = node.input.iter().map(|name| known.get(name)).collect();
        let Some(results) = rules::results(node, &inputs) else { continue };
        for (name, mut result) in node.output.iter().zip(results) {
            if let Some(shape) = stated.get(name) {
                result.dims = shape.0.iter().cloned().map(Some).collect();
            }
            known.insert(name.clone(), result);
        }
    }
    known
}

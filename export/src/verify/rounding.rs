//! How far float32 alone moves a network's results: what no engine that computes in float32 can be blamed for.

use std::collections::BTreeMap;

use dmdx_graph::{DType, Graph, Op, ValueId};

use crate::error::Result;

/// The same network with the result of every operation rounded to float32.
pub(super) fn rounded(graph: &Graph) -> Result<Graph> {
    let mut copy = Graph::new(graph.name());
    for (symbol, info) in graph.symbols() {
        copy.symbol(symbol, &info.meaning, info.usual);
    }
    let mut ids: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (name, id) in graph.inputs() {
        ids.insert(*id, copy.input(name, graph.value(*id).ty.clone())?);
    }
    for (name, param) in graph.params() {
        ids.insert(param.value, copy.param(name, &param.shape, param.weight.clone())?);
    }
    for id in graph.order() {
        let Some((op, inputs)) = graph.op(id) else { continue };
        let value = graph.value(id);
        // Operations come after their inputs.
        let inputs: Vec<ValueId> = inputs.iter().filter_map(|input| ids.get(input).copied()).collect();
        let mut result = copy.push(op.clone(), &inputs, &value.origin)?;
        if value.ty.dtype == DType::F32 {
            result = copy.push(Op::Cast { dtype: DType::F32 }, &[result], &value.origin)?;
        }
        ids.insert(id, result);
    }
    for output in graph.outputs() {
        if let Some(&value) = ids.get(&output.value) {
            copy.output(&output.name, value)?;
        }
    }
    Ok(copy)
}

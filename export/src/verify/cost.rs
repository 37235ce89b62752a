//! What it costs to interpret a network exactly.

use dmdx_graph::error::DimError;
use dmdx_graph::ir::Bindings;
use dmdx_graph::{Def, Graph};

/// Multiplications of a run, about: every element of a result costs what one column of its weight holds, or one.
pub(super) fn multiplications(graph: &Graph, sizes: &Bindings) -> Result<u64, DimError> {
    let mut total = 0u64;
    for id in graph.order() {
        let Some((_, inputs)) = graph.op(id) else { continue };
        let elements: usize = graph.value(id).ty.shape.eval(sizes)?.iter().fold(1, |product, &size| product.saturating_mul(size));
        let weights = inputs.iter().filter_map(|&input| match &graph.value(input).def {
            Def::Param(name) => graph.params().get(name),
            Def::Input(_) | Def::Op { .. } => None,
        });
        let each = weights.map(|weight| weight.shape.iter().skip(1).product::<usize>()).max().unwrap_or(1).max(1);
        total = total.saturating_add((elements as u64).saturating_mul(each as u64));
    }
    Ok(total)
}

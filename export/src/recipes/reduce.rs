//! Reductions and softmax.

use dmdx_graph::ir::ReduceKind;

use super::builder::Builder;
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;

/// The axes are an input since opset 18 (13 for sums).
pub(crate) fn reduce(b: &mut Builder<'_>, site: Site<'_>, kind: ReduceKind, axes: &[usize], keep_dims: bool) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    if axes.is_empty() {
        // No axes would mean all of them in ONNX.
        return Ok(b.node("Identity", &[&x], vec![]));
    }
    let op_type = match kind {
        ReduceKind::Mean => "ReduceMean",
        ReduceKind::Sum => "ReduceSum",
        ReduceKind::Max => "ReduceMax",
    };
    let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    let axes = b.ints(&axes);
    Ok(b.node(op_type, &[&x, &axes], vec![attribute::int("keepdims", i64::from(keep_dims))]))
}

pub(crate) fn softmax(b: &mut Builder<'_>, site: Site<'_>, axis: usize) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    Ok(b.node("Softmax", &[&x], vec![attribute::int("axis", axis as i64)]))
}

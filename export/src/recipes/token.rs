//! The token that stands for a whole text.

use dmdx_graph::DType;
use dmdx_graph::ir::PoolRule;

use super::builder::Builder;
use super::site::Site;
use crate::error::Result;
use crate::onnx::{attribute, element_type};

/// ArgMax gives the first position of the largest id, or of the first match; GatherND takes that row of each text.
pub(crate) fn pool(b: &mut Builder<'_>, site: Site<'_>, rule: PoolRule) -> Result<String> {
    let (hidden, ids) = (b.value(site.inputs[0])?, b.value(site.inputs[1])?);
    let scored = match rule {
        PoolRule::LargestId => ids,
        PoolRule::FirstEqual(id) => {
            let id = b.int_table(&[id], &[]);
            let equal = b.node("Equal", &[&ids, &id], vec![]);
            b.node("Cast", &[&equal], vec![attribute::int("to", element_type(DType::I32) as i64)])
        }
    };
    let attributes = vec![attribute::int("axis", 1), attribute::int("keepdims", 1), attribute::int("select_last_index", 0)];
    let position = b.node("ArgMax", &[&scored], attributes);
    Ok(b.node("GatherND", &[&hidden, &position], vec![attribute::int("batch_dims", 1)]))
}

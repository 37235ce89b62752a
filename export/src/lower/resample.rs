//! Nearest-neighbour enlargement.

use dmdx_graph::DType;

use super::Site;
use super::builder::Builder;
use crate::error::Result;
use crate::onnx::attribute;

/// Resize nearest, asymmetric, floor: each element repeated. Scales are always f32.
pub(super) fn up_nearest(b: &mut Builder<'_>, site: Site<'_>, factor: usize) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let scales = b.floats(&[1.0, 1.0, factor as f64, factor as f64], DType::F32, &[4]);
    let attributes = vec![
        attribute::string("coordinate_transformation_mode", "asymmetric"),
        attribute::string("mode", "nearest"),
        attribute::string("nearest_mode", "floor"),
    ];
    Ok(b.node("Resize", &[&x, "", &scales], attributes))
}

//! Other numbers of rows and columns.

use dmdx_graph::ir::Interpolation;
use dmdx_graph::{DType, Dim, tables};

use super::builder::{Builder, Entry};
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;

/// Resize nearest, asymmetric, floor: each element repeated. Scales are always f32.
pub(crate) fn up_nearest(b: &mut Builder<'_>, site: Site<'_>, factor: usize) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let scales = b.floats(&[1.0, 1.0, factor as f64, factor as f64], DType::F32, &[4]);
    let attributes = vec![
        attribute::string("coordinate_transformation_mode", "asymmetric"),
        attribute::string("mode", "nearest"),
        attribute::string("nearest_mode", "floor"),
    ];
    Ok(b.node("Resize", &[&x, "", &scales], attributes))
}

/// Between known sizes, a product with the interpolation matrix of each axis; otherwise Resize to sizes computed at run
/// time, whose weights engines round in f32.
pub(crate) fn resize_by_matrices(b: &mut Builder<'_>, site: Site<'_>, mode: Interpolation) -> Result<String> {
    let mut x = b.value(site.inputs[0])?;
    let (from, to, dtype) = (&site.types[0].shape.0, &site.ty.shape.0, site.types[0].dtype);
    let known = |dims: &[Dim]| Some([dims[2].known()?, dims[3].known()?]);
    let Some(([rows, columns], [height, width])) = known(from).zip(known(to)) else {
        let entries: Vec<Entry<'_>> = to.iter().map(Entry::of).collect();
        let sizes = b.shape_vector(&entries)?;
        let mut attributes = vec![attribute::string("coordinate_transformation_mode", "half_pixel")];
        if mode == Interpolation::Bicubic {
            attributes.push(attribute::float("cubic_coeff_a", -0.75));
        }
        attributes.push(attribute::string("mode", if mode == Interpolation::Bicubic { "cubic" } else { "linear" }));
        return Ok(b.node("Resize", &[&x, "", "", &sizes], attributes));
    };
    if (rows, columns) == (height, width) {
        return Ok(b.node("Identity", &[&x], vec![]));
    }
    if columns != width {
        let weights = tables::resize(columns, width, mode);
        let turned: Vec<f64> = (0..columns * width).map(|at| weights[at % width * columns + at / width]).collect();
        let across = b.floats(&turned, dtype, &[columns, width]);
        x = b.node("MatMul", &[&x, &across], vec![]);
    }
    if rows != height {
        let down = b.floats(&tables::resize(rows, height, mode), dtype, &[height, rows]);
        x = b.node("MatMul", &[&down, &x], vec![]);
    }
    Ok(x)
}

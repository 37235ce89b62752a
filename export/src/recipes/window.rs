//! SAM's window partition and merge: Pad, Reshape, Transpose, Reshape, Slice.

use dmdx_graph::{Dim, Shape};

use super::builder::Builder;
use super::shape::pad_of;
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;

pub(crate) fn partition(b: &mut Builder<'_>, site: Site<'_>, window: usize) -> Result<String> {
    let mut x = b.value(site.inputs[0])?;
    let dims = &site.types[0].shape.0;
    // Inference has made sure that the sides are known.
    let (height, width) = (dims[1].known().unwrap_or_default(), dims[2].known().unwrap_or_default());
    let (rows, columns) = (height.div_ceil(window), width.div_ceil(window));
    let below = [rows * window - height, columns * window - width];
    if below != [0, 0] {
        x = pad_of(b, &x, &[[0, 0], [0, below[0]], [0, below[1]], [0, 0]], 0.0, site.types[0].dtype);
    }
    let known = |size: usize| Dim::constant(size);
    let padded = [dims[0].clone(), known(rows * window), known(columns * window), dims[3].clone()];
    let cut = [dims[0].clone(), known(rows), known(window), known(columns), known(window), dims[3].clone()];
    let cut = b.reshape(&x, &Shape(padded.to_vec()), &Shape(cut.to_vec()))?;
    let turned = swap_inner(b, &cut);
    let grouped = [dims[0].clone(), known(rows), known(columns), known(window), known(window), dims[3].clone()];
    b.reshape(&turned, &Shape(grouped.to_vec()), &site.ty.shape)
}

pub(crate) fn merge(b: &mut Builder<'_>, site: Site<'_>, window: usize, height: usize, width: usize) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let (from, to) = (&site.types[0].shape, &site.ty.shape.0);
    let (rows, columns) = (height.div_ceil(window), width.div_ceil(window));
    let known = |size: usize| Dim::constant(size);
    let grouped = Shape(vec![to[0].clone(), known(rows), known(columns), known(window), known(window), to[3].clone()]);
    let cut = b.reshape(&x, from, &grouped)?;
    let turned = swap_inner(b, &cut);
    let between = Shape(vec![to[0].clone(), known(rows), known(window), known(columns), known(window), to[3].clone()]);
    let whole = Shape(vec![to[0].clone(), known(rows * window), known(columns * window), to[3].clone()]);
    let merged = b.reshape(&turned, &between, &whole)?;
    if rows * window == height && columns * window == width {
        return Ok(merged);
    }
    let (starts, ends) = (b.ints(&[0, 0]), b.ints(&[height as i64, width as i64]));
    let (axes, steps) = (b.ints(&[1, 2]), b.ints(&[1, 1]));
    Ok(b.node("Slice", &[&merged, &starts, &ends, &axes, &steps], vec![]))
}

/// `[b, rows, x, columns, y, c]` ↔ `[b, rows, columns, x, y, c]`.
fn swap_inner(b: &mut Builder<'_>, x: &str) -> String {
    b.node("Transpose", &[x], vec![attribute::ints("perm", [0, 1, 3, 2, 4, 5])])
}

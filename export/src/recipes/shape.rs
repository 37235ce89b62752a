//! Reshape, permute, concat, slice, pad, expand, cast.

use dmdx_graph::{DType, Dim, Shape};

use super::builder::{Builder, Entry};
use super::site::Site;
use crate::error::Result;
use crate::onnx::{attribute, element_type};

pub(crate) fn reshape(b: &mut Builder<'_>, site: Site<'_>, shape: &Shape) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    b.reshape(&x, &site.types[0].shape, shape)
}

pub(crate) fn permute(b: &mut Builder<'_>, site: Site<'_>, axes: &[usize]) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    Ok(b.node("Transpose", &[&x], vec![attribute::ints("perm", axes.iter().copied())]))
}

pub(crate) fn concat(b: &mut Builder<'_>, site: Site<'_>, axis: usize) -> Result<String> {
    let names = site.inputs.iter().map(|&id| b.value(id)).collect::<Result<Vec<_>>>()?;
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(b.node("Concat", &inputs, vec![attribute::int("axis", axis as i64)]))
}

pub(crate) fn slice(b: &mut Builder<'_>, site: Site<'_>, axis: usize, start: &Dim, length: &Dim) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let end = start.plus(length);
    let (starts, ends) = (b.size(start)?, b.size(&end)?);
    let axes = b.ints(&[axis as i64]);
    let steps = b.ints(&[1]);
    Ok(b.node("Slice", &[&x, &starts, &ends, &axes, &steps], vec![]))
}

pub(crate) fn pad(b: &mut Builder<'_>, site: Site<'_>, pads: &[[usize; 2]], value: f64) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    Ok(pad_of(b, &x, pads, value, site.types[0].dtype))
}

/// Surrounds `x` with a constant.
pub(crate) fn pad_of(b: &mut Builder<'_>, x: &str, pads: &[[usize; 2]], value: f64, dtype: DType) -> String {
    let sides: Vec<i64> = pads.iter().map(|p| p[0] as i64).chain(pads.iter().map(|p| p[1] as i64)).collect();
    let (sides, value) = (b.ints(&sides), b.scalar(value, dtype));
    b.node("Pad", &[x, &sides, &value], vec![attribute::string("mode", "constant")])
}

/// ONNX's Expand broadcasts both ways, so a dimension that stays as it is may be written as 1.
pub(crate) fn expand(b: &mut Builder<'_>, site: Site<'_>, shape: &Shape) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let from = &site.types[0].shape.0;
    let missing = shape.rank().saturating_sub(from.len());
    let entries = shape.0.iter().enumerate().map(|(i, dim)| match i.checked_sub(missing).and_then(|j| from.get(j)) {
        Some(have) if have == dim => Entry::Known(1),
        _ => Entry::of(dim),
    });
    let entries: Vec<Entry<'_>> = entries.collect();
    let shape = b.shape_vector(&entries)?;
    Ok(b.node("Expand", &[&x, &shape], vec![]))
}

pub(crate) fn cast(b: &mut Builder<'_>, site: Site<'_>, dtype: DType) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    Ok(b.node("Cast", &[&x], vec![attribute::int("to", element_type(dtype) as i64)]))
}

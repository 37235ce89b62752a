//! Normalisations.

use dmdx_graph::{Dim, Shape, ValueId};

use super::builder::{Builder, Form};
use super::site::Site;
use crate::error::{ExportError, Result};
use crate::onnx::attribute;

/// Reshape + InstanceNormalization + Reshape + Mul + Add: 2.3 times as fast on ONNX Runtime's CPU as GroupNormalization-21,
/// and known to every engine (GroupNormalization-18 has per-group scales and is deprecated).
pub(crate) fn group_norm_by_instance(b: &mut Builder<'_>, site: Site<'_>, groups: usize, eps: f64) -> Result<String> {
    let (x, ty) = (b.value(site.inputs[0])?, site.types[0]);
    let dtype = ty.dtype;
    let grouped_shape = b.ints(&[0, groups as i64, -1]);
    let grouped = b.node("Reshape", &[&x, &grouped_shape], vec![]);
    let rest = Shape(ty.shape.0.get(1..).unwrap_or_default().to_vec()).elements();
    if let (Some(images), Ok(rest)) = (ty.shape.0.first(), rest.exact_div(groups)) {
        b.state(&grouped, &Shape(vec![images.clone(), Dim::constant(groups), rest]));
    }
    let ones = b.floats(&vec![1.0; groups], dtype, &[groups]);
    let zeros = b.floats(&vec![0.0; groups], dtype, &[groups]);
    let normal = b.node("InstanceNormalization", &[&grouped, &ones, &zeros], vec![attribute::float("epsilon", eps)]);
    let unknown = ty.shape.0.iter().skip(1).filter(|dim| dim.known().is_none()).count();
    let back = if unknown <= 1 {
        let mut from = ty.shape.clone();
        from.0.truncate(1);
        b.reshape(&normal, &from, &ty.shape)?
    } else {
        let shape = b.shape_of(&x);
        let back = b.node("Reshape", &[&normal, &shape], vec![]);
        b.state(&back, &ty.shape);
        back
    };
    let weight = per_channel(b, site.inputs[1], &ty.shape)?;
    let bias = per_channel(b, site.inputs[2], &ty.shape)?;
    let scaled = b.node("Mul", &[&back, &weight], vec![]);
    Ok(b.node("Add", &[&scaled, &bias], vec![]))
}

/// A vector over channels as `[c, 1, ..]`, so that it broadcasts against `[n, c, ..]`.
fn per_channel(b: &mut Builder<'_>, id: ValueId, x: &Shape) -> Result<String> {
    let Some(channels) = x.0.get(1).cloned() else { return b.value(id) };
    let mut shape = Shape(vec![channels]);
    shape.0.resize(x.rank() - 1, Dim::constant(1));
    if let Some(sizes) = shape.sizes()
        && let Some(name) = b.param(id, Form::Reshaped(sizes))?
    {
        return Ok(name);
    }
    let name = b.value(id)?;
    let from = b.graph.value(id).ty.shape.clone();
    b.reshape(&name, &from, &shape)
}

/// LayerNormalization, which wants a weight.
pub(crate) fn layer_norm(b: &mut Builder<'_>, site: Site<'_>, eps: f64) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let ty = site.types[0];
    let mut names = vec![x];
    match site.inputs.get(1) {
        Some(&weight) => names.push(b.value(weight)?),
        None => {
            let channels = ty.shape.0.last().and_then(Dim::known).ok_or_else(|| ExportError::Size {
                origin: b.origin().into(),
                dim: ty.shape.0.last().map(Dim::to_string).unwrap_or_default(),
            })?;
            names.push(b.floats(&vec![1.0; channels], ty.dtype, &[channels]));
        }
    }
    if let Some(&bias) = site.inputs.get(2) {
        names.push(b.value(bias)?);
    }
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(b.node("LayerNormalization", &inputs, vec![attribute::int("axis", -1), attribute::float("epsilon", eps)]))
}

/// Pow + ReduceMean + Add + Sqrt + Div + Mul, which ONNX Runtime fuses; RMSNormalization needs opset 23.
pub(crate) fn rms_norm_by_powers(b: &mut Builder<'_>, site: Site<'_>, eps: f64) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let dtype = site.types[0].dtype;
    let (two, eps, last) = (b.scalar(2.0, dtype), b.scalar(eps, dtype), b.ints(&[-1]));
    let squares = b.node("Pow", &[&x, &two], vec![]);
    let mean = b.node("ReduceMean", &[&squares, &last], vec![attribute::int("keepdims", 1)]);
    let shifted = b.node("Add", &[&mean, &eps], vec![]);
    let root = b.node("Sqrt", &[&shifted], vec![]);
    let normal = b.node("Div", &[&x, &root], vec![]);
    let Some(&weight) = site.inputs.get(1) else { return Ok(normal) };
    let weight = b.value(weight)?;
    Ok(b.node("Mul", &[&normal, &weight], vec![]))
}

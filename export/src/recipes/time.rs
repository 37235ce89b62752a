//! The sinusoidal timestep embedding.

use dmdx_graph::{DType, tables};

use super::builder::Builder;
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;

/// A table of frequencies times `t`, then Sin, Cos, Concat. The table is rounded to f32 at each step, exactly as the
/// interpreter does: times near 1000 amplify one unit in its last place to 4e-5.
pub(crate) fn timestep_embed(
    b: &mut Builder<'_>,
    site: Site<'_>,
    dim: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    max_period: f64,
) -> Result<String> {
    let t = b.value(site.inputs[0])?;
    let half = dim / 2;
    let frequencies: Vec<f64> = tables::frequencies(half, freq_shift, max_period).into_iter().map(f64::from).collect();
    let table = b.floats(&frequencies, DType::F32, &[1, half]);
    let last = b.ints(&[1]);
    let column = b.node("Unsqueeze", &[&t, &last], vec![]);
    let angles = b.node("Mul", &[&column, &table], vec![]);
    let sin = b.node("Sin", &[&angles], vec![]);
    let cos = b.node("Cos", &[&angles], vec![]);
    let parts = if flip_sin_to_cos { [&*cos, &*sin] } else { [&*sin, &*cos] };
    Ok(b.node("Concat", &parts, vec![attribute::int("axis", 1)]))
}

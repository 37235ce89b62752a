//! Elementwise functions.

use dmdx_graph::DType;

use super::builder::{Builder, Entry};
use super::choice::Activation;
use super::site::Site;
use crate::error::Result;

/// An operation that ONNX has under that name, with the same inputs.
pub(crate) fn direct(b: &mut Builder<'_>, site: Site<'_>, op_type: &str) -> Result<String> {
    let names = site.inputs.iter().map(|&id| b.value(id)).collect::<Result<Vec<_>>>()?;
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(b.node(op_type, &inputs, vec![]))
}

/// SiLU as Sigmoid + Mul, which every engine fuses.
pub(crate) fn silu_by_sigmoid(b: &mut Builder<'_>, x: &str, _: DType) -> String {
    let gate = b.node("Sigmoid", &[x], vec![]);
    b.node("Mul", &[x, &gate], vec![])
}

/// GELU as `x (1 + erf(x / √2)) / 2` in the order of operations that ONNX Runtime fuses to its Gelu kernel.
pub(crate) fn gelu_by_erf(b: &mut Builder<'_>, x: &str, dtype: DType) -> String {
    let (root, one, half) = (b.scalar(std::f64::consts::SQRT_2, dtype), b.scalar(1.0, dtype), b.scalar(0.5, dtype));
    let scaled = b.node("Div", &[x, &root], vec![]);
    let erf = b.node("Erf", &[&scaled], vec![]);
    let sum = b.node("Add", &[&erf, &one], vec![]);
    let product = b.node("Mul", &[x, &sum], vec![]);
    b.node("Mul", &[&product, &half], vec![])
}

/// GELU's approximation, term by term.
pub(crate) fn gelu_by_tanh(b: &mut Builder<'_>, x: &str, dtype: DType) -> String {
    let cubic = b.scalar(0.044715, dtype);
    let factor = b.scalar((2.0 / std::f64::consts::PI).sqrt(), dtype);
    let (one, half) = (b.scalar(1.0, dtype), b.scalar(0.5, dtype));
    let square = b.node("Mul", &[x, x], vec![]);
    let cube = b.node("Mul", &[&square, x], vec![]);
    let cube = b.node("Mul", &[&cube, &cubic], vec![]);
    let sum = b.node("Add", &[x, &cube], vec![]);
    let inner = b.node("Mul", &[&sum, &factor], vec![]);
    let tanh = b.node("Tanh", &[&inner], vec![]);
    let sum = b.node("Add", &[&tanh, &one], vec![]);
    let product = b.node("Mul", &[x, &sum], vec![]);
    b.node("Mul", &[&product, &half], vec![])
}

pub(crate) fn quick_gelu_by_sigmoid(b: &mut Builder<'_>, x: &str, dtype: DType) -> String {
    let factor = b.scalar(1.702, dtype);
    let scaled = b.node("Mul", &[x, &factor], vec![]);
    let gate = b.node("Sigmoid", &[&scaled], vec![]);
    b.node("Mul", &[x, &gate], vec![])
}

/// An operation that is one of the activations.
pub(crate) fn alone(b: &mut Builder<'_>, site: Site<'_>, activation: Activation) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    Ok(activation(b, &x, site.types[0].dtype))
}

/// Split + GELU + Mul.
pub(crate) fn geglu(b: &mut Builder<'_>, site: Site<'_>, gelu: Activation) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let last = site.ty.shape.0.last().cloned().unwrap_or_default();
    let halves = b.shape_vector(&[Entry::of(&last), Entry::of(&last)])?;
    let parts = b.node_with_outputs("Split", &[&x, &halves], 2);
    let gate = gelu(b, &parts[1], site.types[0].dtype);
    Ok(b.node("Mul", &[&parts[0], &gate], vec![]))
}

pub(crate) fn clamp(b: &mut Builder<'_>, site: Site<'_>, min: f64, max: f64) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let dtype = site.types[0].dtype;
    let (min, max) = (b.scalar(min, dtype), b.scalar(max, dtype));
    Ok(b.node("Clip", &[&x, &min, &max], vec![]))
}

pub(crate) fn affine(b: &mut Builder<'_>, site: Site<'_>, mul: f64, add: f64) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let dtype = site.types[0].dtype;
    let mut result = None;
    if mul != 1.0 {
        let factor = b.scalar(mul, dtype);
        result = Some(b.node("Mul", &[&x, &factor], vec![]));
    }
    if add != 0.0 {
        let offset = b.scalar(add, dtype);
        result = Some(b.node("Add", &[result.as_ref().unwrap_or(&x), &offset], vec![]));
    }
    Ok(result.unwrap_or_else(|| b.node("Identity", &[&x], vec![])))
}

//! Linear, matrix product, embedding, convolution.

use super::builder::{Builder, Form};
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;

/// `Gemm` for matrices; `MatMul` with the weight transposed at export, then `Add`, for everything else.
pub(crate) fn linear_by_rank(b: &mut Builder<'_>, site: Site<'_>) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let bias = site.inputs.get(2).map(|&id| b.value(id)).transpose()?;
    if site.types[0].shape.rank() == 2 {
        let weight = b.value(site.inputs[1])?;
        let inputs: Vec<&str> = [Some(&x), Some(&weight), bias.as_ref()].into_iter().flatten().map(String::as_str).collect();
        return Ok(b.node("Gemm", &inputs, vec![attribute::int("transB", 1)]));
    }
    let weight = match b.param(site.inputs[1], Form::Transposed)? {
        Some(weight) => weight,
        None => {
            let weight = b.value(site.inputs[1])?;
            b.node("Transpose", &[&weight], vec![attribute::ints("perm", [1, 0])])
        }
    };
    let product = b.node("MatMul", &[&x, &weight], vec![]);
    Ok(match bias {
        Some(bias) => b.node("Add", &[&product, &bias], vec![]),
        None => product,
    })
}

pub(crate) fn mat_mul(b: &mut Builder<'_>, site: Site<'_>, transpose_a: bool, transpose_b: bool) -> Result<String> {
    let mut operand = |index: usize, transpose: bool| -> Result<String> {
        let name = b.value(site.inputs[index])?;
        Ok(if transpose { swap_last(b, &name, site.types[index].shape.rank()) } else { name })
    };
    let (left, right) = (operand(0, transpose_a)?, operand(1, transpose_b)?);
    Ok(b.node("MatMul", &[&left, &right], vec![]))
}

/// Swaps the last two of `rank` dimensions.
pub(crate) fn swap_last(b: &mut Builder<'_>, x: &str, rank: usize) -> String {
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(rank - 2, rank - 1);
    b.node("Transpose", &[x], vec![attribute::ints("perm", axes)])
}

pub(crate) fn embedding(b: &mut Builder<'_>, site: Site<'_>) -> Result<String> {
    let (ids, table) = (b.value(site.inputs[0])?, b.value(site.inputs[1])?);
    Ok(b.node("Gather", &[&table, &ids], vec![attribute::int("axis", 0)]))
}

/// A convolution over as many axes as there are strides.
pub(crate) fn conv(
    b: &mut Builder<'_>,
    site: Site<'_>,
    stride: &[usize],
    padding: &[usize],
    dilation: &[usize],
    groups: usize,
) -> Result<String> {
    let names = site.inputs.iter().map(|&id| b.value(id)).collect::<Result<Vec<_>>>()?;
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut attributes = vec![
        attribute::ints("dilations", dilation.iter().copied()),
        attribute::int("group", groups as i64),
        attribute::ints("pads", padding.iter().copied()),
        attribute::ints("strides", stride.iter().copied()),
    ];
    if let Some(sizes) = site.types[1].shape.sizes() {
        attributes.insert(2, attribute::ints("kernel_shape", sizes.into_iter().skip(2)));
    }
    Ok(b.node("Conv", &inputs, attributes))
}

//! Matrix products, convolutions and pooling.

use dmdx_graph::ir::ReduceKind;
use dmdx_graph::{Dim, Op, ValueId};

use super::converter::Converter;
use super::einsum::einsum;
use super::item::Item;
use super::site::Site;
use crate::onnx::shown::shown;

pub(super) fn convert<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let id = match site.node.op_type {
        "MatMul" => {
            let (a, b) = (c.value(site, 0)?, c.value(site, 1)?);
            c.push(Op::MatMul { transpose_a: false, transpose_b: false }, &[a, b])?
        }
        "Attention" => attention(c, site)?,
        "Einsum" => einsum(c, site)?,
        "Gemm" => return gemm(c, site).map(Some),
        "Conv" => return conv(c, site).map(Some),
        "MaxPool" | "AveragePool" => return pool(c, site).map(Some),
        "GlobalAveragePool" => {
            let x = c.value(site, 0)?;
            let axes = (2..c.shape(x).rank()).collect();
            c.push(Op::Reduce { kind: ReduceKind::Mean, axes, keep_dims: true }, &[x])?
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![Item::Value(id)]))
}

/// Attention over heads of its own dimension; with a mask that is added.
fn attention(c: &mut Converter<'_>, site: &Site<'_>) -> Result<ValueId, String> {
    site.only("qk_matmul_output_mode", 0)?;
    site.only("softmax_precision", 0)?;
    if site.float("softcap", 0.0)? != 0.0 || site.results() > 1 || (4..7).any(|index| site.optional(index).is_some()) {
        return Err("soft caps, caches and results beside the first are not supported".into());
    }
    let mut inputs = vec![c.value(site, 0)?, c.value(site, 1)?, c.value(site, 2)?];
    inputs.extend(c.optional_value(site, 3)?);
    let width = c.shape(inputs[0]).0.get(3).and_then(Dim::known).filter(|width| *width > 0);
    let width = width.ok_or("its heads have no dimension of their own")?;
    let scale = site.float("scale", (width as f64).sqrt().recip())?;
    c.push(Op::Sdpa { scale, causal: site.int("is_causal", 0)? != 0 }, &inputs)
}

fn gemm<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let (alpha, beta) = (site.float("alpha", 1.0)?, site.float("beta", 1.0)?);
    let (transpose_a, transpose_b) = (site.int("transA", 0)? != 0, site.int("transB", 0)? != 0);
    let (a, b) = (c.value(site, 0)?, c.value(site, 1)?);
    let bias = c.optional_value(site, 2)?;
    let is_vector = bias.is_none_or(|bias| c.shape(bias).0.first() == c.shape(b).0.first() && c.shape(bias).rank() == 1);
    if c.shape(a).rank() != 2 || c.shape(b).rank() != 2 {
        return Err("its inputs are not matrices".into());
    }
    if alpha == 1.0 && !transpose_a && transpose_b && is_vector && (beta == 1.0 || bias.is_none()) {
        let inputs: Vec<_> = [Some(a), Some(b), bias].into_iter().flatten().collect();
        return Ok(vec![Item::Value(c.push(Op::Linear, &inputs)?)]);
    }
    let mut y = c.push(Op::MatMul { transpose_a, transpose_b }, &[a, b])?;
    if alpha != 1.0 {
        y = c.push(Op::Affine { mul: alpha, add: 0.0 }, &[y])?;
    }
    if let Some(mut bias) = bias {
        if beta != 1.0 {
            bias = c.push(Op::Affine { mul: beta, add: 0.0 }, &[bias])?;
        }
        y = c.push(Op::Add, &[y, bias])?;
    }
    Ok(vec![Item::Value(y)])
}

/// The padding of a window; automatic padding depends on sizes and is refused.
fn padding<const N: usize>(site: &Site<'_>) -> Result<[usize; N], String> {
    match site.text("auto_pad", "NOTSET")? {
        "NOTSET" => site.sizes("pads", [0; N]),
        "VALID" => Ok([0; N]),
        other => Err(format!("its padding `{}` is not supported; export it with explicit pads", shown(other))),
    }
}

fn conv<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let mut inputs = vec![c.value(site, 0)?, c.value(site, 1)?];
    inputs.extend(c.optional_value(site, 2)?);
    let [groups] = match site.int("group", 1)? {
        groups if (1..=1 << 31).contains(&groups) => [groups as usize],
        groups => return Err(format!("it has {groups} groups")),
    };
    let weight = c.shape(inputs[1]).sizes().unwrap_or_default();
    if let (Some(kernel), Some(sizes)) = (site.ints("kernel_shape")?, weight.get(2..))
        && !kernel.iter().map(|&size| usize::try_from(size).ok()).eq(sizes.iter().map(|&size| Some(size)))
    {
        return Err(format!("its kernel_shape {kernel:?} is not that of its weight {weight:?}"));
    }
    let op = match c.shape(inputs[0]).rank() {
        4 => Op::Conv2d {
            stride: site.sizes("strides", [1; 2])?,
            padding: padding(site)?,
            dilation: site.sizes("dilations", [1; 2])?,
            groups,
        },
        5 => Op::Conv3d {
            stride: site.sizes("strides", [1; 3])?,
            padding: padding(site)?,
            dilation: site.sizes("dilations", [1; 3])?,
            groups,
        },
        rank => return Err(format!("its input has {rank} dimensions, 4 or 5 are supported")),
    };
    Ok(vec![Item::Value(c.push(op, &inputs)?)])
}

fn pool<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    site.only("ceil_mode", 0)?;
    site.only("storage_order", 0)?;
    if site.sizes("dilations", [1; 2])? != [1; 2] {
        return Err("its windows are dilated".into());
    }
    if site.results() > 1 {
        return Err("the places of its results are used".into());
    }
    let x = c.value(site, 0)?;
    let (kernel, stride) = (site.sizes("kernel_shape", [0; 2])?, site.sizes("strides", [1; 2])?);
    let padding = padding(site)?;
    let op = match site.node.op_type {
        "MaxPool" => Op::MaxPool2d { kernel, stride, padding },
        _ => Op::AvgPool2d { kernel, stride, padding, count_padding: site.int("count_include_pad", 0)? != 0 },
    };
    Ok(vec![Item::Value(c.push(op, &[x])?)])
}

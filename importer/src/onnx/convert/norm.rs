//! Normalisation, softmax and reductions.

use dmdx_graph::ir::ReduceKind;
use dmdx_graph::{Op, ValueId};

use super::constant::{Constant, Data};
use super::converter::Converter;
use super::item::Item;
use super::site::Site;
use super::sizes::{axes, axis};

pub(super) fn convert<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let id = match site.node.op_type {
        "LayerNormalization" => {
            let inputs = normalised_inputs(c, site)?;
            c.push(Op::LayerNorm { eps: site.float("epsilon", 1e-5)? }, &inputs)?
        }
        "RMSNormalization" => {
            let inputs = normalised_inputs(c, site)?;
            c.push(Op::RmsNorm { eps: site.float("epsilon", 1e-5)? }, &inputs)?
        }
        "InstanceNormalization" => group_norm(c, site, None)?,
        "GroupNormalization" if site.opset < 21 => {
            return Err("its scales are per group before version 21 of the operators; export it with that version".into());
        }
        "GroupNormalization" => {
            site.only("stash_type", 1)?;
            let groups = usize::try_from(site.int("num_groups", 0)?).ok().filter(|groups| (1..=1 << 31).contains(groups));
            group_norm(c, site, Some(groups.ok_or("its number of groups is none")?))?
        }
        "BatchNormalization" => batch_norm(c, site)?,
        "Softmax" => {
            let x = c.value(site, 0)?;
            let axis = axis(site.int("axis", -1)?, c.shape(x).rank())?;
            c.push(Op::Softmax { axis }, &[x])?
        }
        "ReduceMean" => reduce(c, site, ReduceKind::Mean)?,
        "ReduceSum" => reduce(c, site, ReduceKind::Sum)?,
        "ReduceMax" => reduce(c, site, ReduceKind::Max)?,
        _ => return Ok(None),
    };
    Ok(Some(vec![Item::Value(id)]))
}

/// The value, the scale, and the offset if there is one, of a norm over the last dimension.
fn normalised_inputs<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<ValueId>, String> {
    let x = c.value(site, 0)?;
    let rank = c.shape(x).rank();
    if axis(site.int("axis", -1)?, rank)? + 1 != rank {
        return Err("it works on more than the last dimension".into());
    }
    if site.results() > 1 {
        return Err("its mean or deviation is used".into());
    }
    site.only("stash_type", 1)?;
    let mut inputs = vec![x, c.value(site, 1)?];
    inputs.extend(c.optional_value(site, 2)?);
    Ok(inputs)
}

/// Statistics per channel are those of groups of one channel.
fn group_norm<'m>(c: &mut Converter<'m>, site: &Site<'_>, groups: Option<usize>) -> Result<ValueId, String> {
    let inputs = [c.value(site, 0)?, c.value(site, 1)?, c.value(site, 2)?];
    let channels = c.shape(inputs[0]).0.get(1).and_then(|channels| channels.known());
    let groups = groups.or(channels).ok_or("its number of channels is not known")?;
    c.push(Op::GroupNorm { groups, eps: site.float("epsilon", 1e-5)?, silu: false }, &inputs)
}

/// In inference a factor and an offset per channel.
fn batch_norm<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    site.only("training_mode", 0)?;
    let epsilon = site.float("epsilon", 1e-5)?;
    let x = c.value(site, 0)?;
    let mut vectors = Vec::new();
    for index in 1..5 {
        let constant = c.constant(site, index)?;
        match &constant.data {
            Data::Floats(values) if constant.shape.len() == 1 => vectors.push(values.clone()),
            _ => return Err("its statistics are no vectors of floats".into()),
        }
    }
    let [scale, offset, mean, variance] = vectors.as_slice() else { return Err("it lacks statistics".into()) };
    let channels = scale.len();
    if [offset, mean, variance].iter().any(|vector| vector.len() != channels) {
        return Err("its statistics are not equally many".into());
    }
    let factor: Vec<f64> = scale.iter().zip(variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt()).collect();
    let shift = offset.iter().zip(mean.iter().zip(&factor)).map(|(offset, (mean, factor))| offset - mean * factor).collect();
    let mut shape = vec![channels];
    shape.resize(c.shape(x).rank().saturating_sub(1).max(1), 1);
    let param = |c: &mut Converter<'m>, name: &str, values: Vec<f64>| {
        let name = format!("{}.{name}", site.node.inputs.get(1).copied().unwrap_or_default());
        c.param(&name, Constant::floats(values, shape.clone()).weight()?)
    };
    let factor = param(c, "folded_factor", factor)?;
    let shift = param(c, "folded_offset", shift)?;
    let scaled = c.push(Op::Mul, &[x, factor])?;
    c.push(Op::Add, &[scaled, shift])
}

fn reduce<'m>(c: &mut Converter<'m>, site: &Site<'_>, kind: ReduceKind) -> Result<ValueId, String> {
    let x = c.value(site, 0)?;
    let rank = c.shape(x).rank();
    let given = match site.ints("axes")? {
        Some(axes) => axes.to_vec(),
        None => c.optional_constant(site, 1)?.map_or(Ok(Vec::new()), |axes| axes.to_ints())?,
    };
    if given.is_empty() && site.int("noop_with_empty_axes", 0)? != 0 {
        return Ok(x);
    }
    let axes = if given.is_empty() { (0..rank).collect() } else { axes(&given, rank)? };
    c.push(Op::Reduce { kind, axes, keep_dims: site.int("keepdims", 1)? != 0 }, &[x])
}

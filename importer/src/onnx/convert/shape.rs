//! Operations that move elements without looking at them.

use dmdx_graph::ir::Interpolation;
use dmdx_graph::{Dim, Op, Shape, ValueId};

use super::constant::Data;
use super::converter::Converter;
use super::fold::filling;
use super::item::Item;
use super::reshape::{moved_shape, permutation};
use super::site::Site;
use super::sizes::{axis, broadcast, divide, within_limits};
use crate::onnx::shown::shown;

pub(super) fn convert<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let id = match site.node.op_type {
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let x = c.value(site, 0)?;
            let second = c.optional_constant(site, 1)?;
            let shape = moved_shape(&c.shape(x).clone(), second.as_deref(), site)?;
            c.push(Op::Reshape { shape }, &[x])?
        }
        "Transpose" => {
            let x = c.value(site, 0)?;
            let axes = permutation(site, c.shape(x).rank())?;
            c.push(Op::Permute { axes }, &[x])?
        }
        "Concat" => concat(c, site)?,
        "Expand" | "ConstantOfShape" => expand(c, site)?,
        "Pad" => pad(c, site)?,
        "Resize" => resize(c, site)?,
        _ => return Ok(None),
    };
    Ok(Some(vec![Item::Value(id)]))
}

fn concat<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    let inputs = (0..site.inputs.len()).map(|index| c.value(site, index)).collect::<Result<Vec<_>, _>>()?;
    let first = *inputs.first().ok_or("it has no inputs")?;
    let axis = axis(site.int("axis", 0)?, c.shape(first).rank())?;
    c.push(Op::Concat { axis }, &inputs)
}

/// ONNX's Expand broadcasts both ways.
fn expand<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    if site.node.op_type == "ConstantOfShape" {
        let wanted = c.constant(site, 0)?.to_sizes()?;
        let value = filling(c, site)?;
        if !matches!(&value.data, Data::Floats(values) if values.len() == 1) {
            return Err("it makes integers of a shape that is known only when the network runs".into());
        }
        let name = format!("{}.value", site.node.outputs.first().copied().unwrap_or_default());
        let scalar = c.param(&name, value.picked(&[0], vec![]).weight()?)?;
        return c.expanded(scalar, Shape(wanted));
    }
    let x = c.value(site, 0)?;
    let wanted = Shape(c.constant(site, 1)?.to_sizes()?);
    within_limits(&wanted)?;
    let shape = broadcast(c.shape(x), &wanted).ok_or_else(|| format!("{} does not broadcast to {wanted}", c.shape(x)))?;
    c.expanded(x, shape)
}

fn pad<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    let mode = site.text("mode", "constant")?;
    if mode != "constant" {
        return Err(format!("its mode `{}` is not supported, only `constant`", shown(mode)));
    }
    let x = c.value(site, 0)?;
    let rank = c.shape(x).rank();
    let sides = c.constant(site, 1)?.to_ints()?;
    let value = match site.optional(2) {
        Some(_) => c.scalar(site, 2).ok_or("its value has to be a finite number that is known")?,
        None => 0.0,
    };
    let chosen = match c.optional_constant(site, 3)? {
        Some(axes) => axes.to_ints()?.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if sides.len() != 2 * chosen.len() {
        return Err(format!("it has {} sides for {} axes", sides.len(), chosen.len()));
    }
    let side = |side: i64| usize::try_from(side).ok().filter(|side| *side <= 1 << 31);
    let mut pads = vec![[0; 2]; rank];
    for (i, &axis) in chosen.iter().enumerate() {
        let both = side(sides[i]).zip(side(sides[i + chosen.len()]));
        let (before, after) = both.ok_or_else(|| format!("its sides {sides:?} are not sizes from 0 up"))?;
        pads[axis] = [before, after];
    }
    c.push(Op::Pad { pads, value }, &[x])
}

fn resize<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    let x = c.value(site, 0)?;
    let [_, _, height, width] = c.shape(x).0.clone().try_into().map_err(|_| "its input has other than 4 dimensions")?;
    if site.ints("axes")?.is_some() || site.int("antialias", 0)? != 0 || site.int("exclude_outside", 0)? != 0 {
        return Err("axes, antialias and exclude_outside are not supported".into());
    }
    let policy = site.text("keep_aspect_ratio_policy", "stretch")?;
    if policy != "stretch" {
        return Err(format!("its policy `{}` is not supported", shown(policy)));
    }
    let sizes = match (c.optional_constant(site, 3)?, site.optional(2)) {
        (Some(sizes), _) => sizes.to_sizes()?,
        (None, Some(_)) => scaled(c, site, x)?,
        (None, None) => return Err("it has neither scales nor sizes".into()),
    };
    let [batch, channels, rows, columns] = sizes.try_into().map_err(|_| "its sizes are not four")?;
    if [&batch, &channels] != [&c.shape(x).0[0], &c.shape(x).0[1]] {
        return Err("it resizes other than the last two dimensions".into());
    }
    let mode = site.text("mode", "nearest")?;
    let place = site.text("coordinate_transformation_mode", "half_pixel")?;
    let factor = |from: &Dim, to: &Dim| divide(to, from).and_then(|factor| factor.known());
    let (down, across) = (factor(&height, &rows), factor(&width, &columns));
    // With whole factors every rule that rounds down repeats each element.
    let repeats = match site.text("nearest_mode", "round_prefer_floor")? {
        "floor" => place == "asymmetric",
        "round_prefer_floor" => place == "half_pixel",
        _ => false,
    };
    // PyTorch's own rule differs for a single row or column.
    let several = |size: &Dim| size.known().is_some_and(|size| size > 1);
    let halves = place == "half_pixel" || (place == "pytorch_half_pixel" && several(&rows) && several(&columns));
    match (mode, place) {
        ("nearest", _) if repeats && down.is_some() && down == across => {
            let factor = down.unwrap_or(1);
            if factor == 1 { Ok(x) } else { c.push(Op::UpNearest { factor }, &[x]) }
        }
        ("linear", _) if halves => c.push(Op::Resize { mode: Interpolation::Bilinear, height: rows, width: columns }, &[x]),
        ("cubic", _) if halves && site.float("cubic_coeff_a", -0.75)? == -0.75 => {
            c.push(Op::Resize { mode: Interpolation::Bicubic, height: rows, width: columns }, &[x])
        }
        _ => Err(format!("its mode `{}` with `{}` is not supported", shown(mode), shown(place))),
    }
}

/// The sizes after scales that give whole sizes.
fn scaled<'m>(c: &mut Converter<'m>, site: &Site<'_>, x: ValueId) -> Result<Vec<Dim>, String> {
    let scales = c.constant(site, 2)?;
    let Data::Floats(scales) = &scales.data else { return Err("its scales are no floats".into()) };
    if scales.len() != c.shape(x).rank() {
        return Err(format!("it has {} scales for {} dimensions", scales.len(), c.shape(x).rank()));
    }
    let size = |(dim, &scale): (&Dim, &f64)| match dim.known() {
        // Places of elements follow the scale, so it has to be that of the sizes.
        Some(size) if scale > 0.0 && scale < 65536.0 && (size as f64 * scale).fract() == 0.0 => {
            Ok(Dim::constant((size as f64 * scale) as usize))
        }
        None if scale.fract() == 0.0 && scale > 0.0 && scale < 65536.0 => Ok(dim.scaled(scale as usize)),
        _ => Err(format!("its scale {scale} of {dim} is not supported")),
    };
    c.shape(x).0.iter().zip(scales).map(size).collect()
}

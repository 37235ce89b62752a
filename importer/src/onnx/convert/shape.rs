//! Operations that move elements without looking at them.

use dmdx_graph::ir::Interpolation;
use dmdx_graph::{Dim, Op, Shape, ValueId};

use super::constant::{Constant, Data};
use super::dense::expanded;
use super::norm::squeezed;
use super::site::Site;
use super::sizes::{axes, axis, broadcast, divide};
use super::{Converter, Item, rearrange};

pub(super) fn convert<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let id = match site.node.op_type {
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let x = c.value(site, 0)?;
            let second = match site.optional(1) {
                Some(_) => Some(c.constant(site, 1)?),
                None => None,
            };
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

/// The shape after Reshape, Flatten, Squeeze or Unsqueeze.
pub(super) fn moved_shape(from: &Shape, second: Option<&Constant>, site: &Site<'_>) -> Result<Shape, String> {
    // Axes were attributes before version 13, which is not read, and are an input since.
    let given = second.filter(|_| site.node.op_type != "Reshape").map(Constant::to_ints).transpose()?;
    match site.node.op_type {
        "Reshape" => rearrange::asked(from, second.ok_or("it lacks a shape")?, site),
        "Squeeze" => squeezed(from, given.as_deref()),
        "Unsqueeze" => {
            let given = given.ok_or("it lacks axes")?;
            let rank = from.rank() + given.len();
            let chosen = axes(&given, rank)?;
            let mut dims = from.0.iter().cloned();
            let dims = (0..rank).map(|axis| if chosen.contains(&axis) { Some(Dim::constant(1)) } else { dims.next() });
            Ok(Shape(dims.collect::<Option<Vec<Dim>>>().ok_or("its axes do not fit")?))
        }
        _ => {
            let given = site.int("axis", 1)?;
            let split = if given == from.rank() as i64 { from.rank() } else { axis(given, from.rank())? };
            let product = |dims: &[Dim]| Shape(dims.to_vec()).elements();
            Ok(Shape(vec![product(&from.0[..split]), product(&from.0[split..])]))
        }
    }
}

/// The order of dimensions of a Transpose: reversed unless it is given.
pub(super) fn permutation(site: &Site<'_>, rank: usize) -> Result<Vec<usize>, String> {
    let Some(given) = site.ints("perm")? else { return Ok((0..rank).rev().collect()) };
    let order: Vec<usize> = given.iter().filter_map(|&axis| usize::try_from(axis).ok()).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if given.len() == rank && sorted.iter().copied().eq(0..rank) {
        Ok(order)
    } else {
        Err(format!("its order {given:?} is not one of {rank} dimensions"))
    }
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
        let tensor = site.attribute("value", 4)?.and_then(|attribute| attribute.t);
        let value = match tensor {
            Some(tensor) => Constant::of(&c.model.files.weight(tensor, &c.model.options)?, &mut c.budget)?,
            None => Constant::floats(vec![0.0], vec![1]),
        };
        if !matches!(&value.data, Data::Floats(values) if values.len() == 1) {
            return Err("it makes integers of a shape that is known only when the network runs".into());
        }
        let name = format!("{}.value", site.node.outputs.first().copied().unwrap_or_default());
        let scalar = c.param(&name, value.picked(&[0], vec![]).weight()?)?;
        return expanded(c, scalar, wanted);
    }
    let x = c.value(site, 0)?;
    let wanted = Shape(c.constant(site, 1)?.to_sizes()?);
    super::within_limits(&wanted)?;
    let shape = broadcast(c.shape(x), &wanted).ok_or_else(|| format!("{} does not broadcast to {wanted}", c.shape(x)))?;
    expanded(c, x, shape.0)
}

fn pad<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    let mode = site.text("mode", "constant")?;
    if mode != "constant" {
        return Err(format!("its mode `{}` is not supported, only `constant`", crate::onnx::shown(mode)));
    }
    let x = c.value(site, 0)?;
    let rank = c.shape(x).rank();
    let sides = c.constant(site, 1)?.to_ints()?;
    let value = match site.optional(2) {
        Some(_) => c.scalar(site, 2).ok_or("its value has to be a finite number that is known")?,
        None => 0.0,
    };
    let chosen = match site.optional(3) {
        Some(_) => c.constant(site, 3)?.to_ints()?.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
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
        return Err(format!("its policy `{}` is not supported", crate::onnx::shown(policy)));
    }
    let sizes = match (site.optional(3), site.optional(2)) {
        (Some(_), _) => c.constant(site, 3)?.to_sizes()?,
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
        _ => Err(format!("its mode `{}` with `{}` is not supported", crate::onnx::shown(mode), crate::onnx::shown(place))),
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

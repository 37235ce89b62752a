//! The shapes and orders of dimensions that nodes ask for which only move elements.

use dmdx_graph::{Dim, Shape};

use super::constant::Constant;
use super::site::Site;
use super::sizes::{axes, axis, reshaped, within_limits};

/// The shape after Reshape, Flatten, Squeeze or Unsqueeze.
pub(super) fn moved_shape(from: &Shape, second: Option<&Constant>, site: &Site<'_>) -> Result<Shape, String> {
    // Axes were attributes before version 13, which is not read, and are an input since.
    let given = second.filter(|_| site.node.op_type != "Reshape").map(Constant::to_ints).transpose()?;
    match site.node.op_type {
        "Reshape" => asked(from, second.ok_or("it lacks a shape")?, site),
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

/// The shape without dimensions of size 1, all or the named ones.
fn squeezed(from: &Shape, given: Option<&[i64]>) -> Result<Shape, String> {
    let chosen = match given {
        Some(given) => axes(given, from.rank())?,
        None => (0..from.rank()).filter(|&axis| from.0[axis].is(1)).collect(),
    };
    if let Some(axis) = chosen.iter().find(|&&axis| !from.0[axis].is(1)) {
        return Err(format!("the size {} of axis {axis} is not 1", from.0[*axis]));
    }
    let kept = from.0.iter().enumerate().filter(|(axis, _)| !chosen.contains(axis));
    Ok(Shape(kept.map(|(_, dim)| dim.clone()).collect()))
}

/// The shape that a Reshape's second input asks for.
fn asked(from: &Shape, shape: &Constant, site: &Site<'_>) -> Result<Shape, String> {
    let wanted = shape.to_sizes()?;
    within_limits(&Shape(wanted.clone()))?;
    reshaped(from, &wanted, site.int("allowzero", 0)? != 0)
}

//! Operations on every element by itself.

use dmdx_graph::{Op, ValueId};

use super::constant::Constant;
use super::converter::Converter;
use super::item::Item;
use super::site::Site;
use crate::onnx::shown::shown;
use crate::onnx::tensor::{ELEMENT_TYPES, dtype_of};

/// Stands for an open end of a range; no float of a network is larger.
const UNBOUNDED: f64 = f32::MAX as f64;

pub(super) fn convert<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let op = match site.node.op_type {
        "Relu" => Op::Relu,
        "Sigmoid" => Op::Sigmoid,
        "Tanh" => Op::Tanh,
        "Exp" => Op::Exp,
        "Sqrt" => Op::Sqrt,
        "Neg" => Op::Neg,
        "Sin" => Op::Sin,
        "Cos" => Op::Cos,
        "Gelu" => match site.text("approximate", "none")? {
            "none" => Op::Gelu { tanh: false },
            "tanh" => Op::Gelu { tanh: true },
            other => return Err(format!("its approximation `{}` is not known", shown(other))),
        },
        "Erf" => return erf(c, site).map(Some),
        "Identity" => return Ok(Some(vec![site.input(0)?.clone()])),
        "Dropout" => return dropout(c, site).map(Some),
        "Cast" => return cast(c, site).map(Some),
        "Clip" | "Min" | "Max" => return clip(c, site).map(Some),
        "Pow" => return power(c, site).map(Some),
        "Reciprocal" => {
            let x = c.value(site, 0)?;
            let one = c.param("one", Constant::floats(vec![1.0], vec![]).weight()?)?;
            return c.push(Op::Div, &[one, x]).map(|id| Some(vec![Item::Value(id)]));
        }
        "Add" | "Sub" | "Mul" | "Div" => return arithmetic(c, site).map(Some),
        "Equal" => return is_id(c, site),
        _ => return Ok(None),
    };
    let x = c.value(site, 0)?;
    Ok(Some(vec![Item::Value(c.push(op, &[x])?)]))
}

/// With one scalar an [`Op::Affine`]; else NumPy's broadcasting.
fn arithmetic<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let op = site.node.op_type;
    if let Some(item) = gelu(c, site)? {
        return Ok(vec![item]);
    }
    let result = |c: &mut Converter<'m>, mul: f64, add: f64, x: ValueId| -> Result<Vec<Item>, String> {
        Ok(vec![Item::Value(c.push(Op::Affine { mul, add }, &[x])?)])
    };
    for (scalar, other) in [(1, 0), (0, 1)] {
        // A scalar of more dimensions than the other would add some.
        let rank = |item: Option<&Item>| match item {
            Some(Item::Constant(constant)) => constant.shape.len(),
            Some(Item::Weight(weight)) => weight.shape().len(),
            _ => 0,
        };
        let Some(value) = c.scalar(site, scalar) else { continue };
        let Some(Item::Value(x)) = site.optional(other).cloned() else { continue };
        if rank(site.optional(scalar)) > c.shape(x).rank() || !c.graph.value(x).ty.dtype.is_float() {
            continue;
        }
        match (op, scalar) {
            ("Add", _) => return result(c, 1.0, value, x),
            ("Mul", _) => return result(c, value, 0.0, x),
            ("Sub", 1) => return result(c, 1.0, -value, x),
            ("Sub", _) => return result(c, -1.0, value, x),
            ("Div", 1) if value != 0.0 && value.recip().is_finite() => return result(c, value.recip(), 0.0, x),
            _ => {}
        }
    }
    let (a, b) = (c.value(site, 0)?, c.value(site, 1)?);
    let op = match op {
        "Add" => Op::Add,
        "Sub" => Op::Sub,
        "Mul" => Op::Mul,
        _ => Op::Div,
    };
    Ok(vec![Item::Value(c.push(op, &[a, b])?)])
}

/// `Erf` of `x / √2` or `x * 1/√2`: the beginning of an exact GELU, which is all that is read.
fn erf<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let scaled = c.value(site, 0)?;
    match c.graph.op(scaled) {
        Some((Op::Affine { mul, add }, inputs))
            if *add == 0.0 && (mul - std::f64::consts::FRAC_1_SQRT_2).abs() < 1e-6 && inputs.len() == 1 =>
        {
            Ok(vec![Item::Erf(inputs[0])])
        }
        _ => Err("it is read as part of a GELU only, of a value divided by √2".into()),
    }
}

/// The rest of a GELU: plus one, then times the value, halved somewhere on the way.
fn gelu<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Item>, String> {
    let (first, second) = (site.input(0)?.clone(), site.input(1)?.clone());
    let (erf, other) = match (&first, &second) {
        (Item::Erf(_) | Item::ErfPlusOne(..), _) => (first, 1),
        (_, Item::Erf(_) | Item::ErfPlusOne(..)) => (second, 0),
        _ => return Ok(None),
    };
    match (erf, site.node.op_type) {
        (Item::Erf(x), "Add") if c.scalar(site, other) == Some(1.0) => Ok(Some(Item::ErfPlusOne(x, 1.0))),
        (Item::ErfPlusOne(x, half), "Mul") => {
            if let Some(factor) = c.scalar(site, other).filter(|factor| (half * factor).is_finite()) {
                return Ok(Some(Item::ErfPlusOne(x, half * factor)));
            }
            let y = c.value(site, other)?;
            // y = factor * x; the graph's GELU has the factor 1/2 in it.
            let factor = match c.graph.op(y) {
                _ if y == x => half,
                Some((Op::Affine { mul, add }, [from])) if *from == x && *add == 0.0 => half * mul,
                _ => return Err("an Erf is multiplied with something else than in a GELU".into()),
            };
            let gelu = c.push(Op::Gelu { tanh: false }, &[x])?;
            Ok(Some(Item::Value(match factor {
                0.5 => gelu,
                factor => c.push(Op::Affine { mul: 2.0 * factor, add: 0.0 }, &[gelu])?,
            })))
        }
        _ => Err("Erf is read as part of a GELU only".into()),
    }
}

fn dropout<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    if site.results() > 1 {
        return Err("its mask is used".into());
    }
    let training = if site.optional(2).is_some() { c.constant(site, 2)?.scalar() != Some(0.0) } else { false };
    if training { Err("it is in training mode".into()) } else { Ok(vec![site.input(0)?.clone()]) }
}

fn cast<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let to = site.int("to", 0)?;
    let dtype = dtype_of(to).ok_or_else(|| format!("it makes the element type {to}; {}", ELEMENT_TYPES))?;
    // Comparisons of ids are numbers already.
    if let Item::IsId(..) = site.input(0)? {
        return Ok(vec![site.input(0)?.clone()]);
    }
    let x = c.value(site, 0)?;
    let have = c.graph.value(x).ty.dtype;
    // Ids are 64-bit integers everywhere.
    if have == dtype || (!have.is_float() && !dtype.is_float()) {
        return Ok(vec![Item::Value(x)]);
    }
    Ok(vec![Item::Value(c.push(Op::Cast { dtype }, &[x])?)])
}

fn clip<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let limit = |c: &mut Converter<'m>, index: usize, default: f64| match site.optional(index) {
        None => Ok(default),
        Some(_) => c.scalar(site, index).ok_or_else(|| format!("its input {index} has to be a finite number that is known")),
    };
    let (x, min, max) = match site.node.op_type {
        "Clip" => (0, limit(c, 1, -UNBOUNDED)?, limit(c, 2, UNBOUNDED)?),
        _ if site.inputs.len() != 2 => return Err("it has other than two inputs".into()),
        op => {
            let (x, value) = match (c.scalar(site, 0), c.scalar(site, 1)) {
                (None, Some(value)) => (0, value),
                (Some(value), None) => (1, value),
                _ => return Err("one of its inputs has to be a number that is known".into()),
            };
            if op == "Min" { (x, -UNBOUNDED, value) } else { (x, value, UNBOUNDED) }
        }
    };
    let x = c.value(site, x)?;
    Ok(vec![Item::Value(c.push(Op::Clamp { min, max }, &[x])?)])
}

fn power<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let x = c.value(site, 0)?;
    let id = match c.scalar(site, 1) {
        Some(1.0) => x,
        Some(2.0) => c.push(Op::Mul, &[x, x])?,
        Some(3.0) => {
            let square = c.push(Op::Mul, &[x, x])?;
            c.push(Op::Mul, &[square, x])?
        }
        Some(0.5) => c.push(Op::Sqrt, &[x])?,
        _ => return Err("its exponent has to be 0.5, 1, 2 or 3".into()),
    };
    Ok(vec![Item::Value(id)])
}

/// The comparison with which a text's end is found.
fn is_id<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let Some(Item::Value(ids)) = site.optional(0).cloned() else { return Ok(None) };
    if c.graph.value(ids).ty.dtype.is_float() {
        return Ok(None);
    }
    let id = c.constant(site, 1)?.to_ints()?;
    match id.as_slice() {
        [id] => Ok(Some(vec![Item::IsId(*id, ids)])),
        _ => Ok(None),
    }
}

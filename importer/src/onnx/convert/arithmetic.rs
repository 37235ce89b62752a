//! Arithmetic on constants and sizes.

use dmdx_graph::{DType, Dim, Shape};

use super::constant::{Constant, Data, Folded, broadcast_places, broadcast_shape};
use super::converter::Converter;
use super::site::Site;
use super::sizes::{divide, known, minus, within_limits};
use crate::onnx::tensor::{ELEMENT_TYPES, dtype_of};

pub(super) fn cast(from: &Constant, site: &Site<'_>) -> Result<Constant, String> {
    let to = site.int("to", 0)?;
    let dtype = dtype_of(to).ok_or_else(|| format!("it makes the element type {to}; {}", ELEMENT_TYPES))?;
    let data = match (&from.data, dtype) {
        (Data::Sizes(_), dtype) if dtype.is_float() => {
            return Err("it makes floats of sizes that are known only when the network runs".into());
        }
        (Data::Sizes(sizes), _) => Data::Sizes(sizes.clone()),
        (Data::Ints(values), DType::Bool) => Data::Ints(values.iter().map(|&value| i64::from(value != 0)).collect()),
        (Data::Floats(values), DType::Bool) => Data::Ints(values.iter().map(|&value| i64::from(value != 0.0)).collect()),
        (Data::Ints(values), dtype) if dtype.is_float() => Data::Floats(values.iter().map(|&value| value as f64).collect()),
        (Data::Floats(values), dtype) if !dtype.is_float() => Data::Ints(values.iter().map(|&value| value as i64).collect()),
        (data, _) => data.clone(),
    };
    Ok(Constant { dtype, shape: from.shape.clone(), data }.rounded())
}

pub(super) fn unary(converter: &mut Converter<'_>, from: &Constant, op: &str) -> Folded {
    converter.budget.take(&from.shape)?;
    let data = match &from.data {
        Data::Ints(values) => {
            let of = |value: i64| match op {
                "Abs" => value.checked_abs(),
                "Neg" => value.checked_neg(),
                "Not" => Some(i64::from(value == 0)),
                "Floor" | "Ceil" => Some(value),
                _ => None,
            };
            match values.iter().map(|&value| of(value)).collect() {
                Some(values) => Data::Ints(values),
                None => return Ok(None),
            }
        }
        Data::Floats(values) => {
            let of: fn(f64) -> f64 = match op {
                "Abs" => f64::abs,
                "Neg" => |value| -value,
                "Sqrt" => f64::sqrt,
                "Exp" => f64::exp,
                "Log" => f64::ln,
                "Floor" => f64::floor,
                "Ceil" => f64::ceil,
                "Sin" => f64::sin,
                "Cos" => f64::cos,
                "Reciprocal" => f64::recip,
                _ => return Ok(None),
            };
            Data::Floats(values.iter().map(|&value| of(value)).collect())
        }
        Data::Sizes(_) => return Ok(None),
    };
    Ok(Some(Constant { dtype: from.dtype, shape: from.shape.clone(), data }.rounded()))
}

pub(super) fn binary(converter: &mut Converter<'_>, a: &Constant, b: &Constant, op: &str) -> Folded {
    let shape = broadcast_shape(&a.shape, &b.shape).ok_or_else(|| format!("{:?} and {:?} do not broadcast", a.shape, b.shape))?;
    converter.budget.take(&shape)?;
    let pairs = || broadcast_places(&a.shape, &shape).into_iter().zip(broadcast_places(&b.shape, &shape));
    let truth = matches!(op, "Equal" | "Less" | "Greater" | "And" | "Or");
    let dtype = if truth { DType::Bool } else { a.dtype };
    let data = match (&a.data, &b.data) {
        (Data::Ints(a), Data::Ints(b)) => {
            let values: Option<Vec<i64>> = pairs().map(|(i, j)| ints(op, a[i], b[j])).collect();
            Data::Ints(values.ok_or_else(|| format!("{op} of these integers has no result"))?)
        }
        (Data::Floats(a), Data::Floats(b)) => {
            let values: Vec<f64> = pairs().map(|(i, j)| floats(op, a[i], b[j])).collect();
            match truth {
                true => Data::Ints(values.iter().map(|&value| i64::from(value != 0.0)).collect()),
                false => Data::Floats(values),
            }
        }
        (Data::Floats(_), _) | (_, Data::Floats(_)) => return Err("it mixes integers and floats".into()),
        _ => {
            let (a, b) = (a.to_sizes()?, b.to_sizes()?);
            let values: Option<Vec<Dim>> = pairs().map(|(i, j)| of_sizes(op, &a[i], &b[j])).collect();
            let values = values.ok_or_else(|| format!("{op} of sizes that are known only when the network runs"))?;
            return checked(values, shape)
                .map(|constant| Some(Constant { dtype: if truth { DType::Bool } else { DType::I64 }, ..constant }));
        }
    };
    Ok(Some(Constant { dtype, shape, data }.rounded()))
}

fn ints(op: &str, a: i64, b: i64) -> Option<i64> {
    match op {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        // ONNX rounds towards zero.
        "Div" => a.checked_div(b),
        "Mod" => a.checked_rem_euclid(b).filter(|_| b > 0),
        "Pow" => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        "Equal" => Some(i64::from(a == b)),
        "Less" => Some(i64::from(a < b)),
        "Greater" => Some(i64::from(a > b)),
        "Min" => Some(a.min(b)),
        "Max" => Some(a.max(b)),
        "And" => Some(i64::from(a != 0 && b != 0)),
        "Or" => Some(i64::from(a != 0 || b != 0)),
        _ => None,
    }
}

fn floats(op: &str, a: f64, b: f64) -> f64 {
    let truth = |value: bool| f64::from(u8::from(value));
    match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        "Pow" => a.powf(b),
        "Min" => a.min(b),
        "Max" => a.max(b),
        "Equal" => truth(a == b),
        "Less" => truth(a < b),
        "Greater" => truth(a > b),
        _ => f64::NAN,
    }
}

/// Sizes are at least 1 when the network runs.
fn of_sizes(op: &str, a: &Dim, b: &Dim) -> Option<Dim> {
    let positive = |dim: &Dim| dim.terms().all(|(_, coefficient)| coefficient > 0);
    match op {
        "Add" => Some(a.plus(b)),
        "Sub" => Some(minus(a, b)),
        "Mul" => Some(a.times(b)),
        "Div" if known(b) == Some(1) => Some(a.clone()),
        "Div" => divide(a, b).or_else(|| a.floor_div(b.known()?).ok().filter(|_| positive(a))),
        "Equal" if a == b => Some(Dim::constant(1)),
        "Equal" => match (known(a), known(b)) {
            (Some(_), Some(_)) => Some(Dim::constant(0)),
            (Some(number), None) if number <= 0 && positive(b) => Some(Dim::constant(0)),
            (None, Some(number)) if number <= 0 && positive(a) => Some(Dim::constant(0)),
            _ => None,
        },
        _ => None,
    }
}

fn checked(values: Vec<Dim>, shape: Vec<usize>) -> Result<Constant, String> {
    for value in &values {
        within_limits(&Shape(vec![value.clone()]))?;
    }
    Ok(Constant::sizes(values, shape))
}

pub(super) fn choose(
    converter: &mut Converter<'_>,
    condition: &Constant,
    a: &Constant,
    b: &Constant,
) -> Result<Constant, String> {
    let shape = broadcast_shape(&a.shape, &b.shape).and_then(|shape| broadcast_shape(&condition.shape, &shape));
    let shape = shape.ok_or("its inputs do not broadcast")?;
    converter.budget.take(&shape)?;
    let condition_values = condition.to_ints()?;
    let places = |from: &Constant| broadcast_places(&from.shape, &shape);
    let (of_a, of_b) = (a.picked(&places(a), shape.clone()), b.picked(&places(b), shape.clone()));
    let first = places(condition).into_iter().map(|place| condition_values[place] != 0);
    match (&of_a.data, &of_b.data) {
        (Data::Floats(x), Data::Floats(y)) => {
            let values = first.zip(x.iter().zip(y)).map(|(first, (x, y))| if first { *x } else { *y }).collect();
            Ok(Constant { dtype: a.dtype, shape, data: Data::Floats(values) })
        }
        (Data::Ints(x), Data::Ints(y)) => {
            let values = first.zip(x.iter().zip(y)).map(|(first, (x, y))| if first { *x } else { *y }).collect();
            Ok(Constant { dtype: a.dtype, shape, data: Data::Ints(values) })
        }
        _ => {
            let (x, y) = (of_a.to_sizes()?, of_b.to_sizes()?);
            let values = first.zip(x.into_iter().zip(y)).map(|(first, (x, y))| if first { x } else { y }).collect();
            Ok(Constant::sizes(values, shape))
        }
    }
}

impl Constant {
    /// Floats as their type stores them.
    fn rounded(mut self) -> Self {
        if let (Data::Floats(values), DType::F32) = (&mut self.data, self.dtype) {
            values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
        }
        self
    }
}

//! Operations on constants and sizes, computed while the model is imported.

use dmdx_graph::Dim;

use super::arithmetic::{binary, cast, choose, unary};
use super::constant::{Constant, Folded};
use super::converter::Converter;
use super::item::Item;
use super::rearrange::{concat, expand, gather, moved, slice, transpose, trilu};
use super::site::Site;
use super::sizes::usizes;
use crate::onnx::shown::shown;

/// Operations that can be converted, here or elsewhere.
const KNOWN: &str = "Abs Add And ArgMax Attention AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv Cos Div \
    Dropout Einsum Equal Erf Exp Expand Flatten Floor Gather GatherND Gelu Gemm GlobalAveragePool Greater \
    GroupNormalization Identity InstanceNormalization LayerNormalization Less Log MatMul Max MaxPool Min Mod Mul \
    Neg Not Or Pad Pow RMSNormalization Range Reciprocal ReduceMax ReduceMean ReduceSum Relu Reshape Resize Shape \
    Sigmoid Sin Size Slice Softmax Split Sqrt Squeeze Sub Tanh Transpose Trilu Unsqueeze Where";

pub(super) fn is_known(op_type: &str) -> bool {
    KNOWN.split_whitespace().any(|known| known == op_type)
}

/// The result of a node that depends on nothing but constants and sizes.
pub(super) fn fold(converter: &mut Converter<'_>, site: &Site<'_>) -> Folded {
    match site.node.op_type {
        "Constant" => return constant(converter, site).map(Some),
        "Shape" | "Size" => return of_shape(converter, site).map(Some),
        _ => {}
    }
    // Weights stay in the file unless they are small tables of sizes, or the operation makes constants only.
    let cheap = |item: &Item| match item {
        Item::Constant(_) => true,
        Item::Weight(weight) => !weight.dtype().is_float() || weight.elements() <= 1,
        _ => false,
    };
    if site.inputs.is_empty() || !site.inputs.iter().flatten().all(cheap) {
        return Ok(None);
    }
    let mut inputs = Vec::with_capacity(site.inputs.len());
    for index in 0..site.inputs.len() {
        inputs.push(converter.known(site, index)?);
    }
    let inputs: Vec<Option<&Constant>> = inputs.iter().map(Option::as_deref).collect();
    let Some(Some(first)) = inputs.first() else { return Ok(None) };
    let second = inputs.get(1).copied().flatten();
    let folded = match (site.node.op_type, second) {
        ("Identity" | "Dropout", _) => Some((*first).clone()),
        ("Cast", _) => Some(cast(first, site)?),
        ("Abs" | "Neg" | "Sqrt" | "Exp" | "Log" | "Floor" | "Ceil" | "Sin" | "Cos" | "Not" | "Reciprocal", _) => {
            unary(converter, first, site.node.op_type)?
        }
        (
            "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Equal" | "Less" | "Greater" | "And" | "Or" | "Min" | "Max",
            Some(second),
        ) if inputs.len() == 2 => binary(converter, first, second, site.node.op_type)?,
        ("Where", Some(second)) => match inputs.get(2).copied().flatten() {
            Some(third) => Some(choose(converter, first, second, third)?),
            None => None,
        },
        ("ConstantOfShape", _) => of_constant_shape(converter, first, site)?,
        ("Range", Some(second)) => range(converter, first, second, inputs.get(2).copied().flatten())?,
        ("Concat", _) => concat(converter, &inputs, site)?,
        ("Gather", Some(second)) => Some(gather(converter, first, second, site)?),
        ("Slice", _) => slice(converter, &inputs)?,
        ("Expand", Some(second)) => expand(converter, first, second)?,
        ("Squeeze" | "Unsqueeze" | "Reshape" | "Flatten", _) => Some(moved(converter, first, second, site)?),
        ("Transpose", _) => Some(transpose(converter, first, site)?),
        ("Trilu", _) => Some(trilu(first, second, site)?),
        _ => None,
    };
    Ok(folded)
}

fn constant(converter: &mut Converter<'_>, site: &Site<'_>) -> Result<Constant, String> {
    let [attribute] = site.node.attributes.as_slice() else { return Err("it needs exactly one value".into()) };
    site.attribute(attribute.name, attribute.kind)?;
    match (attribute.name, attribute.kind) {
        ("value", 4) => {
            let tensor = attribute.t.unwrap_or_default();
            let weight = converter.model.files.weight(tensor, &converter.model.options)?;
            Constant::of(&weight, &mut converter.budget)
        }
        ("value_float", 1) => Ok(Constant::floats(vec![f64::from(attribute.f.unwrap_or_default())], vec![])),
        ("value_int", 2) => Ok(Constant::ints(vec![attribute.i.unwrap_or_default()], vec![])),
        ("value_floats", 6) => {
            let values: Vec<f64> = attribute.floats.iter().map(|&value| f64::from(value)).collect();
            Ok(Constant::floats(values, vec![attribute.floats.len()]))
        }
        ("value_ints", 7) => Ok(Constant::ints(attribute.ints.clone(), vec![attribute.ints.len()])),
        (name, _) => Err(format!("its value is given as `{}`, which is not read", shown(name))),
    }
}

fn of_shape(converter: &mut Converter<'_>, site: &Site<'_>) -> Result<Constant, String> {
    let dims: Vec<Dim> = match site.input(0)? {
        Item::Value(id) | Item::Erf(id) | Item::ErfPlusOne(id, _) => converter.shape(*id).0.clone(),
        Item::Constant(constant) => constant.shape.iter().map(|&size| Dim::constant(size)).collect(),
        Item::Weight(weight) => weight.shape().iter().map(|&size| Dim::constant(size)).collect(),
        _ => return Err("the shape of its input is not known".into()),
    };
    if site.node.op_type == "Size" {
        let elements = dims.iter().fold(Dim::constant(1), |product, dim| product.times(dim));
        return Ok(Constant::sizes(vec![elements], vec![]));
    }
    let rank = dims.len() as i64;
    let end = |value: i64| if value < 0 { value.saturating_add(rank) } else { value }.clamp(0, rank) as usize;
    let (start, end) = (end(site.int("start", 0)?), end(site.int("end", rank)?));
    let dims = dims.get(start..end).unwrap_or_default().to_vec();
    let count = dims.len();
    Ok(Constant::sizes(dims, vec![count]))
}

fn of_constant_shape(converter: &mut Converter<'_>, shape: &Constant, site: &Site<'_>) -> Folded {
    let Ok(sizes) = shape.to_ints() else { return Ok(None) };
    let sizes = usizes(&sizes)?;
    let count = converter.budget.take(&sizes)?;
    let value = filling(converter, site)?;
    if value.len() != 1 {
        return Err("its value has more than one element".into());
    }
    Ok(Some(value.picked(&vec![0; count], sizes)))
}

/// What a ConstantOfShape repeats.
pub(super) fn filling(converter: &mut Converter<'_>, site: &Site<'_>) -> Result<Constant, String> {
    match site.attribute("value", 4)?.and_then(|attribute| attribute.t) {
        Some(tensor) => Constant::of(&converter.model.files.weight(tensor, &converter.model.options)?, &mut converter.budget),
        None => Ok(Constant::floats(vec![0.0], vec![1])),
    }
}

fn range(converter: &mut Converter<'_>, start: &Constant, limit: &Constant, step: Option<&Constant>) -> Folded {
    let number = |constant: &Constant| constant.to_ints().ok().filter(|values| values.len() == 1).map(|values| values[0]);
    let numbers = (number(start), number(limit), step.and_then(number));
    let (Some(start), Some(limit), Some(step)) = numbers else { return Ok(None) };
    let span = i128::from(limit) - i128::from(start);
    if step == 0 {
        return Err("its step is zero".into());
    }
    let count = (span + i128::from(step) - i128::from(step.signum())) / i128::from(step);
    let count = usize::try_from(count.max(0)).map_err(|_| "it has too many elements".to_string())?;
    converter.budget.take(&[count])?;
    let values = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(step))).collect();
    Ok(Some(Constant::ints(values, vec![count])))
}

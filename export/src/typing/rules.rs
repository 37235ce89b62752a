//! One rule for each operation.

use dmdx_graph::{DType, Dim};

use super::known::{Known, MOST_VALUES, broadcast};
use crate::onnx::dtype_of;
use crate::onnx::proto::NodeProto;

/// What the results of a node are; `None` where an input is not known, or the operation has no rule.
pub(super) fn results(node: &NodeProto, inputs: &[Option<&Known>]) -> Option<Vec<Known>> {
    let at = |i: usize| inputs.get(i).copied().flatten();
    let x = at(0)?;
    let one = match node.op_type.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" => elementwise(&node.op_type, x, at(1)?),
        "Equal" => Known::new(DType::Bool, broadcast(&x.dims, &at(1)?.dims)),
        "Cast" => cast(x, dtype_of(int(node, "to")?)?),
        "Identity" => x.clone(),
        "Shape" => shape(node, x),
        "Concat" => concat(node, inputs)?,
        "Reshape" => Known::new(x.dtype, reshaped(x, at(1)?)?),
        "Expand" => Known::new(x.dtype, broadcast(&x.dims, at(1)?.values.as_ref()?)),
        "Squeeze" => squeeze(x, &at(1)?.integers()?)?,
        "Unsqueeze" => unsqueeze(x, &at(1)?.integers()?)?,
        "Transpose" => permuted(node, x)?,
        "Slice" => slice(inputs)?,
        "Split" => return split(node, inputs),
        "Pad" => pad(x, &at(1)?.integers()?)?,
        "Range" => Known::new(x.dtype, vec![at(1)?.values.as_ref()?.first()?.clone()]),
        "Gather" => gather(node, x, at(1)?)?,
        "GatherND" => Known::new(x.dtype, [at(1)?.dims.get(..1)?, x.dims.get(2..)?].concat()),
        "ArgMax" => argmax(node, x)?,
        "MatMul" => mat_mul(x, at(1)?)?,
        "Gemm" => Known::new(x.dtype, vec![x.dims.first()?.clone(), at(1)?.dims.first()?.clone()]),
        "ReduceMax" | "ReduceMean" | "ReduceSum" => reduce(node, x, &at(1)?.integers()?)?,
        // The graph states their sizes, since each of them is an operation of its own.
        "Conv" | "MaxPool" | "AveragePool" | "Resize" => Known::new(x.dtype, vec![None; x.dims.len()]),
        "Abs"
        | "Clip"
        | "Cos"
        | "Erf"
        | "Exp"
        | "InstanceNormalization"
        | "LayerNormalization"
        | "Neg"
        | "Relu"
        | "Sigmoid"
        | "Sin"
        | "Softmax"
        | "Sqrt"
        | "Tanh"
        | "Trilu" => Known::new(x.dtype, x.dims.clone()),
        // Nothing is said of an operation without a rule.
        _ => return None,
    };
    Some(vec![one])
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name == name)?.i
}

/// An axis, counted from the end where it is negative.
fn axis(number: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    usize::try_from(if number < 0 { number + rank } else { number }).ok()
}

fn elementwise(op: &str, a: &Known, b: &Known) -> Known {
    let result = Known::new(a.dtype, broadcast(&a.dims, &b.dims));
    let (Some(left), Some(right)) = (&a.values, &b.values) else { return result };
    let count = left.len().max(right.len());
    if left.len() != count && left.len() != 1 || right.len() != count && right.len() != 1 {
        return result;
    }
    let each = (0..count).map(|i| {
        let (a, b) = (left[i.min(left.len() - 1)].as_ref()?, right[i.min(right.len() - 1)].as_ref()?);
        match op {
            "Add" => Some(a.plus(b)),
            "Sub" => Some(a.minus(b)),
            "Mul" => Some(a.times(b)),
            "Div" => a.exact_div(b.known()?).ok(),
            _ => None,
        }
    });
    result.with(Some(each.collect()))
}

fn cast(x: &Known, dtype: DType) -> Known {
    let keeps = !x.dtype.is_float() && dtype == DType::I64;
    Known::new(dtype, x.dims.clone()).with(x.values.clone().filter(|_| keeps))
}

fn shape(node: &NodeProto, x: &Known) -> Known {
    let rank = x.dims.len();
    let bound = |name, otherwise| int(node, name).and_then(|number| axis(number, rank)).unwrap_or(otherwise).min(rank);
    let (start, end) = (bound("start", 0), bound("end", rank));
    Known::vector(x.dims[start.min(end)..end].to_vec())
}

fn concat(node: &NodeProto, inputs: &[Option<&Known>]) -> Option<Known> {
    let parts = inputs.iter().copied().collect::<Option<Vec<_>>>()?;
    let first = parts.first()?;
    let axis = axis(int(node, "axis")?, first.dims.len())?;
    let mut dims = first.dims.clone();
    let sizes = parts.iter().map(|part| part.dims.get(axis).cloned().flatten()).collect::<Option<Vec<_>>>();
    *dims.get_mut(axis)? = sizes.map(|sizes| sizes.iter().fold(Dim::constant(0), |sum, size| sum.plus(size)));
    let values = parts.iter().map(|part| part.values.clone()).collect::<Option<Vec<_>>>().map(|parts| parts.concat());
    Some(Known::new(first.dtype, dims).with(values.filter(|values| values.len() <= MOST_VALUES)))
}

/// ONNX's 0 keeps a size. What its -1 stands for the graph states.
fn reshaped(x: &Known, shape: &Known) -> Option<Vec<Option<Dim>>> {
    let values = shape.values.as_ref()?;
    let size = |(i, value): (usize, &Option<Dim>)| {
        let value = value.as_ref()?;
        let mut terms = value.terms();
        match (terms.next(), terms.next()) {
            (None, _) => x.dims.get(i)?.clone(),
            (Some(([], negative)), None) if negative < 0 => None,
            _ => Some(value.clone()),
        }
    };
    Some(values.iter().enumerate().map(size).collect())
}

fn squeeze(x: &Known, axes: &[i64]) -> Option<Known> {
    let axes: Vec<usize> = axes.iter().map(|&a| axis(a, x.dims.len())).collect::<Option<_>>()?;
    let kept = x.dims.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, dim)| dim.clone());
    Some(Known::new(x.dtype, kept.collect()).with(x.values.clone()))
}

fn unsqueeze(x: &Known, axes: &[i64]) -> Option<Known> {
    let rank = x.dims.len() + axes.len();
    let axes: Vec<usize> = axes.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
    let mut own = x.dims.iter().cloned();
    let dims = (0..rank).map(|i| if axes.contains(&i) { Some(Dim::constant(1)) } else { own.next().flatten() });
    Some(Known::new(x.dtype, dims.collect()).with(x.values.clone()))
}

fn permuted(node: &NodeProto, x: &Known) -> Option<Known> {
    let order = &node.attribute.iter().find(|attribute| attribute.name == "perm")?.ints;
    let dims = order.iter().map(|&from| x.dims.get(usize::try_from(from).ok()?).cloned());
    Some(Known::new(x.dtype, dims.collect::<Option<_>>()?))
}

/// Steps of 1, from starts that are counted from the front.
fn slice(inputs: &[Option<&Known>]) -> Option<Known> {
    let at = |i: usize| inputs.get(i).copied().flatten();
    let x = at(0)?;
    let (starts, ends, axes) = (at(1)?.values.as_ref()?, at(2)?.values.as_ref()?, at(3)?.integers()?);
    let mut dims = x.dims.clone();
    for ((number, start), end) in axes.into_iter().zip(starts).zip(ends) {
        *dims.get_mut(axis(number, x.dims.len())?)? = start.as_ref().zip(end.as_ref()).map(|(start, end)| end.minus(start));
    }
    Some(Known::new(x.dtype, dims))
}

fn split(node: &NodeProto, inputs: &[Option<&Known>]) -> Option<Vec<Known>> {
    let (x, lengths) = (inputs.first().copied().flatten()?, inputs.get(1).copied().flatten()?.values.as_ref()?);
    let axis = axis(int(node, "axis")?, x.dims.len())?;
    let part = |length: &Option<Dim>| {
        let mut dims = x.dims.clone();
        *dims.get_mut(axis)? = length.clone();
        Some(Known::new(x.dtype, dims))
    };
    lengths.iter().map(part).collect()
}

fn pad(x: &Known, sides: &[i64]) -> Option<Known> {
    let rank = x.dims.len();
    let dims = x.dims.iter().enumerate().map(|(i, dim)| {
        let sides = sides.get(i)?.checked_add(*sides.get(i + rank)?)?;
        Some(dim.as_ref().map(|dim| dim.offset(sides)))
    });
    Some(Known::new(x.dtype, dims.collect::<Option<_>>()?))
}

fn gather(node: &NodeProto, x: &Known, rows: &Known) -> Option<Known> {
    let axis = axis(int(node, "axis").unwrap_or(0), x.dims.len())?;
    Some(Known::new(x.dtype, [x.dims.get(..axis)?, &rows.dims, x.dims.get(axis + 1..)?].concat()))
}

fn argmax(node: &NodeProto, x: &Known) -> Option<Known> {
    let mut dims = x.dims.clone();
    let axis = axis(int(node, "axis")?, dims.len())?;
    match int(node, "keepdims") {
        Some(0) => drop(dims.remove(axis)),
        _ => *dims.get_mut(axis)? = Some(Dim::constant(1)),
    }
    Some(Known::new(DType::I64, dims))
}

fn mat_mul(a: &Known, b: &Known) -> Option<Known> {
    let (rows, columns) = (a.dims.len().checked_sub(2)?, b.dims.len().checked_sub(2)?);
    let mut dims = broadcast(&a.dims[..rows], &b.dims[..columns]);
    dims.extend([a.dims[rows].clone(), b.dims[columns + 1].clone()]);
    Some(Known::new(a.dtype, dims))
}

fn reduce(node: &NodeProto, x: &Known, axes: &[i64]) -> Option<Known> {
    let axes: Vec<usize> = axes.iter().map(|&a| axis(a, x.dims.len())).collect::<Option<_>>()?;
    let keeps = int(node, "keepdims") != Some(0);
    let dims = x.dims.iter().enumerate().filter_map(|(i, dim)| match axes.contains(&i) {
        true if keeps => Some(Some(Dim::constant(1))),
        true => None,
        false => Some(dim.clone()),
    });
    Some(Known::new(x.dtype, dims.collect()))
}

//! Constants whose elements change their places.

use dmdx_graph::Shape;

use super::constant::{Constant, Data, Folded, broadcast_places, broadcast_shape, strides, walk};
use super::converter::Converter;
use super::reshape::{moved_shape, permutation};
use super::site::Site;
use super::sizes::{self, axis, bounds, counted, usizes};

pub(super) fn concat(converter: &mut Converter<'_>, inputs: &[Option<&Constant>], site: &Site<'_>) -> Folded {
    let Some(inputs) = inputs.iter().copied().collect::<Option<Vec<&Constant>>>() else { return Ok(None) };
    if inputs.iter().any(|input| input.shape.len() != 1) || inputs.iter().any(|input| matches!(input.data, Data::Floats(_))) {
        return Ok(None);
    }
    axis(site.int("axis", 0)?, 1)?;
    let count = inputs.iter().map(|input| input.len()).sum();
    converter.budget.take(&[count])?;
    if inputs.iter().all(|input| matches!(input.data, Data::Ints(_))) {
        let values = inputs.iter().map(|input| input.to_ints()).collect::<Result<Vec<_>, _>>()?.concat();
        return Ok(Some(Constant { dtype: inputs[0].dtype, ..Constant::ints(values, vec![count]) }));
    }
    let values = inputs.iter().map(|input| input.to_sizes()).collect::<Result<Vec<_>, _>>()?.concat();
    Ok(Some(Constant::sizes(values, vec![count])))
}

pub(super) fn gather(
    converter: &mut Converter<'_>,
    data: &Constant,
    indices: &Constant,
    site: &Site<'_>,
) -> Result<Constant, String> {
    let axis = axis(site.int("axis", 0)?, data.shape.len())?;
    let size = data.shape[axis];
    let index = |index: i64| counted(index, size).ok_or_else(|| format!("the index {index} is not one of {size}"));
    let indices_at: Vec<usize> = indices.to_ints()?.into_iter().map(index).collect::<Result<_, String>>()?;
    let shape = [&data.shape[..axis], &indices.shape, &data.shape[axis + 1..]].concat();
    converter.budget.take(&shape)?;
    let inner: usize = data.shape[axis + 1..].iter().product();
    let outer: usize = data.shape[..axis].iter().product();
    let mut places = Vec::new();
    for block in 0..outer {
        for &index in &indices_at {
            let start = (block * size + index) * inner;
            places.extend(start..start + inner);
        }
    }
    Ok(data.picked(&places, shape))
}

pub(super) fn slice(converter: &mut Converter<'_>, inputs: &[Option<&Constant>]) -> Folded {
    let list = |index: usize| inputs.get(index).copied().flatten().map(Constant::to_ints).transpose();
    let Some(data) = inputs[0] else { return Ok(None) };
    let (Some(starts), Some(ends)) = (list(1)?, list(2)?) else { return Err("it lacks starts or ends".into()) };
    let rank = data.shape.len();
    let given = list(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), given.len(), steps.len()] != [starts.len(); 3] {
        return Err("its starts, ends, axes and steps are not equally many".into());
    }
    sizes::axes(&given, rank)?;
    let mut chosen: Vec<Vec<usize>> = data.shape.iter().map(|&size| (0..size).collect()).collect();
    for (((from, to), at), step) in starts.iter().zip(&ends).zip(&given).zip(&steps) {
        let at = axis(*at, rank)?;
        chosen[at] = elements(*from, *to, *step, data.shape[at])?;
    }
    let shape: Vec<usize> = chosen.iter().map(Vec::len).collect();
    converter.budget.take(&shape)?;
    let places = chosen.iter().zip(strides(&data.shape)).fold(vec![0], |places: Vec<usize>, (indices, stride)| {
        places.iter().flat_map(|place| indices.iter().map(move |index| place + index * stride)).collect()
    });
    Ok(Some(data.picked(&places, shape)))
}

/// The elements of an axis that a slice takes, in its order.
fn elements(start: i64, end: i64, step: i64, size: usize) -> Result<Vec<usize>, String> {
    if step > 0 {
        let (first, count) = bounds(start, end, step, size)?;
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        return Ok((0..count).map(|i| first + i * step).collect());
    }
    let back = step.checked_neg().and_then(|step| usize::try_from(step).ok()).filter(|step| *step > 0);
    let back = back.ok_or_else(|| format!("its step is {step}"))?;
    let size = i64::try_from(size).map_err(|_| "an axis is too long")?;
    let place = |at: i64| if at < 0 { at.saturating_add(size) } else { at }.clamp(-1, size - 1);
    let (first, last) = (place(start), place(end));
    Ok((last + 1..=first).rev().step_by(back).filter_map(|place| usize::try_from(place).ok()).collect())
}

pub(super) fn expand(converter: &mut Converter<'_>, from: &Constant, shape: &Constant) -> Folded {
    let Ok(wanted) = shape.to_ints() else { return Ok(None) };
    let shape = broadcast_shape(&from.shape, &usizes(&wanted)?).ok_or("its shape does not fit its input")?;
    converter.budget.take(&shape)?;
    Ok(Some(from.picked(&broadcast_places(&from.shape, &shape), shape)))
}

pub(super) fn moved(
    converter: &mut Converter<'_>,
    from: &Constant,
    second: Option<&Constant>,
    site: &Site<'_>,
) -> Result<Constant, String> {
    converter.budget.take(&from.shape)?;
    let before = Shape::known(&from.shape);
    let shape = moved_shape(&before, second, site)?;
    let shape = shape.sizes().ok_or("its shape is not known")?;
    Ok(Constant { dtype: from.dtype, shape, data: from.data.clone() })
}

pub(super) fn transpose(converter: &mut Converter<'_>, from: &Constant, site: &Site<'_>) -> Result<Constant, String> {
    converter.budget.take(&from.shape)?;
    let order = permutation(site, from.shape.len())?;
    let distances = strides(&from.shape);
    let shape: Vec<usize> = order.iter().map(|&axis| from.shape[axis]).collect();
    let steps: Vec<usize> = order.iter().map(|&axis| distances[axis]).collect();
    Ok(from.picked(&walk(&shape, &steps, 0), shape))
}

pub(super) fn trilu(from: &Constant, diagonal: Option<&Constant>, site: &Site<'_>) -> Result<Constant, String> {
    let [.., rows, columns] = from.shape.as_slice() else { return Err("its input is no matrix".into()) };
    let diagonal = diagonal.map_or(Ok(vec![0]), Constant::to_ints)?;
    let diagonal = diagonal.first().copied().unwrap_or(0).clamp(-(1 << 40), 1 << 40);
    let upper = site.int("upper", 1)? != 0;
    let keep = |place: usize| {
        let distance = (place % columns) as i64 - ((place / columns) % rows) as i64;
        if upper { distance >= diagonal } else { distance <= diagonal }
    };
    let mut result = from.clone();
    match &mut result.data {
        Data::Ints(values) => values.iter_mut().enumerate().filter(|(i, _)| !keep(*i)).for_each(|(_, value)| *value = 0),
        Data::Floats(values) => values.iter_mut().enumerate().filter(|(i, _)| !keep(*i)).for_each(|(_, value)| *value = 0.0),
        Data::Sizes(_) => return Err("it works on sizes".into()),
    }
    Ok(result)
}

//! Parts of tensors: Slice, Split, Gather, and the token that stands for a text.

use dmdx_graph::ir::PoolRule;
use dmdx_graph::{Dim, Op, Shape, ValueId};

use super::converter::Converter;
use super::item::{Form, Item, Position};
use super::site::Site;
use super::sizes::{axis, bounds, counted, known, minus};

/// From here on an end means the last element.
const OPEN_END: i64 = i32::MAX as i64;

pub(super) fn convert<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    match site.node.op_type {
        "Slice" => slice(c, site).map(|id| Some(vec![Item::Value(id)])),
        "Split" => split(c, site).map(Some),
        "Gather" => gather(c, site).map(|id| Some(vec![Item::Value(id)])),
        "ArgMax" => position(c, site).map(|item| Some(vec![item])),
        "GatherND" => pool(c, site).map(|id| Some(vec![Item::Value(id)])),
        "Range" => counting(c, site).map(|item| Some(vec![item])),
        "Unsqueeze" => column(c, site),
        "Concat" => pairs(c, site),
        _ => Ok(None),
    }
}

fn slice<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    let mut x = c.value(site, 0)?;
    let rank = c.shape(x).rank();
    let (starts, ends) = (c.constant(site, 1)?.to_sizes()?, c.constant(site, 2)?.to_sizes()?);
    let chosen = match c.optional_constant(site, 3)? {
        Some(axes) => axes.to_ints()?,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match c.optional_constant(site, 4)? {
        Some(steps) => steps.to_ints()?,
        None => vec![1; starts.len()],
    };
    if [ends.len(), chosen.len(), steps.len()] != [starts.len(); 3] {
        return Err("its starts, ends, axes and steps are not equally many".into());
    }
    for (((start, end), at), step) in starts.iter().zip(&ends).zip(&chosen).zip(&steps) {
        let axis = axis(*at, rank)?;
        let size = c.shape(x).0[axis].clone();
        let (start, length) = range(start, end, *step, &size)?;
        if known(&start) != Some(0) || length != size {
            x = part(c, x, axis, start, length)?;
        }
        if *step > 1 {
            x = every(c, x, axis, *step)?;
        }
    }
    Ok(x)
}

fn part(c: &mut Converter<'_>, x: ValueId, axis: usize, start: Dim, length: Dim) -> Result<ValueId, String> {
    c.push(Op::Slice { axis, start, length }, &[x])
}

/// The first element and the number of elements up to the end, before steps are taken.
fn range(start: &Dim, end: &Dim, step: i64, size: &Dim) -> Result<(Dim, Dim), String> {
    if step < 1 {
        return Err(format!("its step is {step}; steps from 1 up are supported"));
    }
    if let (Some(start), Some(end), Some(size)) = (known(start), known(end), size.known()) {
        let (start, count) = bounds(start, end, 1, size)?;
        return Ok((Dim::constant(start), Dim::constant(count)));
    }
    let place = |at: &Dim| match known(at) {
        Some(at) if at >= OPEN_END => Ok(size.clone()),
        Some(at) if at < 0 => Ok(size.offset(at)),
        Some(0) => Ok(Dim::constant(0)),
        // A symbolic axis may be shorter than a number, and a number may be less than a symbol.
        Some(at) if size.known().is_some_and(|size| at <= size as i64) => {
            Ok(at.unsigned_abs().try_into().map_or(size.clone(), Dim::constant))
        }
        None if at == size => Ok(size.clone()),
        _ => Err(format!("whether {at} lies within {size} is known only when the network runs")),
    };
    let start = match known(start) {
        // Starts are kept: they are below every size that makes sense.
        Some(at) if (0..OPEN_END).contains(&at) => Dim::constant(at as usize),
        _ => place(start)?,
    };
    let length = minus(&place(end)?, &start);
    Ok((start, length))
}

/// Every `step`-th element of an axis: split in two, keep the first of each.
fn every(c: &mut Converter<'_>, x: ValueId, axis: usize, step: i64) -> Result<ValueId, String> {
    let step = usize::try_from(step).ok().filter(|step| *step <= 1 << 31).ok_or("its step is too large")?;
    let dims = c.shape(x).0.clone();
    let groups =
        dims[axis].exact_div(step).map_err(|_| format!("{} elements are no whole number of steps of {step}", dims[axis]))?;
    let mut grouped = dims.clone();
    grouped.splice(axis..=axis, [groups.clone(), Dim::constant(step)]);
    let mut x = c.push(Op::Reshape { shape: Shape(grouped) }, &[x])?;
    x = part(c, x, axis + 1, Dim::constant(0), Dim::constant(1))?;
    let mut kept = dims;
    kept[axis] = groups;
    c.push(Op::Reshape { shape: Shape(kept) }, &[x])
}

fn split<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<Vec<Item>, String> {
    let x = c.value(site, 0)?;
    let axis = axis(site.int("axis", 0)?, c.shape(x).rank())?;
    let size = c.shape(x).0[axis].clone();
    let count = site.node.outputs.len();
    let lengths = match c.optional_constant(site, 1)? {
        Some(lengths) => lengths.to_sizes()?,
        None => {
            // The last part is shorter where the size is no multiple.
            let size = size.known().ok_or("it splits a size that is known only when the network runs into equal parts")?;
            let length = size.div_ceil(count.max(1));
            (0..count).map(|i| Dim::constant(size.saturating_sub(i * length).min(length))).collect()
        }
    };
    let total = lengths.iter().fold(Dim::constant(0), |total, length| total.plus(length));
    if lengths.len() != count || total != size {
        return Err(format!("its {count} parts do not add up to {size}"));
    }
    let mut start = Dim::constant(0);
    let mut items = Vec::with_capacity(count);
    for length in lengths {
        let end = start.plus(&length);
        items.push(Item::Value(part(c, x, axis, start, length)?));
        start = end;
    }
    Ok(items)
}

/// Rows of a table by ids; one element, or a run of elements, of any axis.
fn gather<'m>(c: &mut Converter<'m>, site: &Site<'_>) -> Result<ValueId, String> {
    let data = c.value(site, 0)?;
    let axis = axis(site.int("axis", 0)?, c.shape(data).rank())?;
    let indices = c.known(site, 1)?;
    let size = c.shape(data).0[axis].clone();
    if let Some(indices) = &indices {
        let at = indices.to_ints()?;
        let places: Option<Vec<Dim>> = at.iter().map(|&at| place(at, &size)).collect();
        let places = places.ok_or_else(|| format!("an index lies outside the {size} elements of axis {axis}"))?;
        let run = places.array_windows().all(|[a, b]| a.offset(1) == *b);
        if let (Some(first), true, true) = (places.first(), run, indices.shape.len() <= 1) {
            let part = part(c, data, axis, first.clone(), Dim::constant(places.len()))?;
            if indices.shape.len() == 1 {
                return Ok(part);
            }
            let mut shape = c.shape(part).clone();
            shape.0.remove(axis);
            return c.push(Op::Reshape { shape }, &[part]);
        }
        if at.iter().any(|&at| at < 0) {
            return Err("its indices count from the end".into());
        }
    }
    if axis != 0 || c.shape(data).rank() != 2 {
        return Err("it takes scattered elements of other than the rows of a matrix".into());
    }
    let ids = c.value(site, 1)?;
    c.push(Op::Embedding, &[ids, data])
}

/// Where an index that may count from the end lies on an axis.
fn place(at: i64, size: &Dim) -> Option<Dim> {
    match size.known() {
        Some(size) => counted(at, size).map(Dim::constant),
        None if at < 0 => Some(size.offset(at)),
        None if at < OPEN_END => Some(Dim::constant(at as usize)),
        None => None,
    }
}

/// The first largest id of each text, or the first place where an id is.
fn position(c: &mut Converter<'_>, site: &Site<'_>) -> Result<Item, String> {
    let (rule, ids) = match site.input(0)?.clone() {
        Item::IsId(id, ids) => (PoolRule::FirstEqual(id), ids),
        Item::Value(ids) if !c.graph.value(ids).ty.dtype.is_float() => (PoolRule::LargestId, ids),
        _ => return Err("it is read for the token that stands for a text only".into()),
    };
    site.only("select_last_index", 0)?;
    if c.shape(ids).rank() != 2 || axis(site.int("axis", 0)?, 2)? != 1 {
        return Err("it is read along the tokens of texts only".into());
    }
    let form = if site.int("keepdims", 1)? == 0 { Form::Row } else { Form::Column };
    Ok(Item::Position(Position { rule, ids, form }))
}

/// `0, 1, ..` up to a size that is known only when the network runs.
fn counting(c: &mut Converter<'_>, site: &Site<'_>) -> Result<Item, String> {
    let (start, step) = (c.constant(site, 0)?.to_ints()?, c.constant(site, 2)?.to_ints()?);
    let limit = c.constant(site, 1)?.to_sizes()?;
    match (start.as_slice(), limit.as_slice(), step.as_slice()) {
        ([0], [limit], [1]) => Ok(Item::Counting(limit.clone(), Form::Row)),
        _ => Err("up to a size that is known only when the network runs it has to count 0, 1, ..".into()),
    }
}

/// Turns a row of places into a column.
fn column(c: &mut Converter<'_>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let item = match site.input(0)? {
        Item::Position(position) if position.form == Form::Row => Item::Position(Position { form: Form::Column, ..*position }),
        Item::Counting(size, Form::Row) => Item::Counting(size.clone(), Form::Column),
        _ => return Ok(None),
    };
    match c.constant(site, 1)?.to_ints()?.as_slice() {
        [1 | -1] => Ok(Some(vec![item])),
        axes => Err(format!("its axes {axes:?} make no column of places")),
    }
}

/// Puts the number of each text before the place in it.
fn pairs(c: &mut Converter<'_>, site: &Site<'_>) -> Result<Option<Vec<Item>>, String> {
    let (Some(Item::Counting(texts, Form::Column)), Some(Item::Position(position))) = (site.optional(0), site.optional(1)) else {
        return Ok(None);
    };
    let fits = position.form == Form::Column && c.shape(position.ids).0.first() == Some(texts) && site.inputs.len() == 2;
    match fits && axis(site.int("axis", 0)?, 2)? == 1 {
        true => Ok(Some(vec![Item::Position(Position { form: Form::Pairs, ..*position })])),
        false => Err("it joins places in other texts".into()),
    }
}

fn pool(c: &mut Converter<'_>, site: &Site<'_>) -> Result<ValueId, String> {
    let hidden = c.value(site, 0)?;
    let Item::Position(Position { rule, ids, form }) = *site.input(1)? else {
        return Err("it is read for the token that stands for a text only".into());
    };
    match (site.int("batch_dims", 0)?, form) {
        (1, Form::Column) | (0, Form::Pairs) => c.push(Op::PoolToken { rule }, &[hidden, ids]),
        (dims, _) => Err(format!("its batch_dims is {dims} where the places are no column, or 0 where they are no pairs")),
    }
}

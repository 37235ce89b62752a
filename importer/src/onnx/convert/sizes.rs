//! Arithmetic on sizes that may be symbolic.

use dmdx_graph::ir::Symbol;
use dmdx_graph::{Dim, Shape};

/// Terms that all sizes of one shape may have when they are multiplied out.
const MOST_TERMS: usize = 256;
/// Symbols in one term of a size.
const MOST_FACTORS: usize = 8;
/// Largest number in a size.
const LARGEST: i64 = 1 << 40;

/// An integer, which may be below zero.
pub(super) fn integer(value: i64) -> Dim {
    Dim::constant(0).offset(value)
}

/// The integer that a size is, if no symbol occurs.
pub(super) fn known(dim: &Dim) -> Option<i64> {
    let mut terms = dim.terms();
    match (terms.next(), terms.next()) {
        (None, _) => Some(0),
        (Some(([], value)), None) => Some(value),
        _ => None,
    }
}

/// `a - b`.
pub(super) fn minus(a: &Dim, b: &Dim) -> Dim {
    a.plus(&b.times(&integer(-1)))
}

/// `total / by`, exact, where `by` is one product.
pub(super) fn divide(total: &Dim, by: &Dim) -> Option<Dim> {
    let (factors, divisor) = by.terms().next().filter(|_| by.terms().count() == 1)?;
    let mut quotient = Dim::constant(0);
    for (have, coefficient) in total.terms() {
        let mut left = have.to_vec();
        for factor in factors {
            let place = left.iter().position(|other| other == factor)?;
            left.remove(place);
        }
        if divisor == 0 || coefficient % divisor != 0 {
            return None;
        }
        let term = left.iter().fold(integer(coefficient / divisor), |term, symbol| term.times(&Dim::symbol(symbol)));
        quotient = quotient.plus(&term);
    }
    Some(quotient)
}

/// NumPy's rule.
pub(super) fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let one = Dim::constant(1);
    let at = |shape: &Shape, i: usize| (i + shape.rank()).checked_sub(rank).map_or(one.clone(), |j| shape.0[j].clone());
    let joined = (0..rank).map(|i| match (at(a, i), at(b, i)) {
        (x, y) if x == y || y == one => Some(x),
        (x, y) if x == one => Some(y),
        _ => None,
    });
    joined.collect::<Option<Vec<Dim>>>().map(Shape)
}

/// One of `count` numbers from 0, which below zero counts from the end.
pub(super) fn counted(number: i64, count: usize) -> Option<usize> {
    let from_start = if number < 0 { number.checked_add(i64::try_from(count).ok()?)? } else { number };
    usize::try_from(from_start).ok().filter(|number| *number < count)
}

/// An axis that may count from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    counted(axis, rank).ok_or_else(|| format!("axis {axis} is not one of {rank} dimensions"))
}

/// Axes that may count from the end, ascending, each once.
pub(super) fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut axes = given.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    match axes.is_sorted_by(|a, b| a < b) {
        true => Ok(axes),
        false => Err(format!("the axes {given:?} name one twice")),
    }
}

/// The shape that a Reshape asks for: 0 stands for the size before, -1 for what is left.
pub(super) fn reshaped(from: &Shape, wanted: &[Dim], allow_zero: bool) -> Result<Shape, String> {
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, dim) in wanted.iter().enumerate() {
        shape.push(match known(dim) {
            Some(0) if !allow_zero => {
                from.0.get(i).cloned().ok_or_else(|| format!("size {i} of its shape is 0 where none is"))?
            }
            Some(-1) if open.is_none() => {
                open = Some(i);
                Dim::constant(1)
            }
            Some(size) if size < 0 => return Err(format!("its shape has the size {size}")),
            _ => dim.clone(),
        });
    }
    let (total, given) = (from.elements(), Shape(shape.clone()).elements());
    match open {
        Some(open) => {
            shape[open] = divide(&total, &given).ok_or_else(|| format!("{from} cannot be divided by {given}"))?;
        }
        None if total != given => return Err(format!("{from} has not the elements of {}", Shape(shape))),
        None => {}
    }
    Ok(Shape(shape))
}

/// Refuses sizes with which later arithmetic would grow without bounds.
pub(super) fn within_limits(shape: &Shape) -> Result<(), String> {
    let sound =
        |(factors, coefficient): (&[Symbol], i64)| factors.len() <= MOST_FACTORS && (-LARGEST..=LARGEST).contains(&coefficient);
    let terms = shape.0.iter().fold(1usize, |product, dim| product.saturating_mul(dim.terms().count().max(1)));
    if terms > MOST_TERMS || shape.rank() > 8 || !shape.0.iter().all(|dim| dim.terms().all(sound)) {
        return Err("has a shape of too many dimensions or terms, or a size that is too large".into());
    }
    // With one factor left out no product of eight sizes overflows silently.
    match shape.elements().terms().all(|(_, coefficient)| coefficient.unsigned_abs() <= 1 << 48) {
        true => Ok(()),
        false => Err("has a shape of more than 2^48 elements".into()),
    }
}

/// The first element and the number of elements of a slice of an axis of known size.
pub(super) fn bounds(start: i64, end: i64, step: i64, size: usize) -> Result<(usize, usize), String> {
    if step < 1 {
        return Err(format!("its step is {step}; steps from 1 up are supported"));
    }
    let size = i64::try_from(size).map_err(|_| "an axis is too long")?;
    let place = |at: i64| if at < 0 { at.saturating_add(size) } else { at }.clamp(0, size);
    let (start, end) = (place(start), place(end));
    let count = (end - start).max(0) as u64;
    Ok((start as usize, count.div_ceil(step as u64) as usize))
}

/// A shape of known sizes.
pub(super) fn usizes(sizes: &[i64]) -> Result<Vec<usize>, String> {
    let sound: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    sound.filter(|sizes| sizes.len() <= 8).ok_or_else(|| format!("its shape {:?} is none", &sizes[..sizes.len().min(16)]))
}

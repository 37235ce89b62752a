//! Arithmetic on sizes that may be symbolic.

use dmdx_graph::{Dim, Shape};

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

/// An axis that may count from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let found = counted.and_then(|axis| usize::try_from(axis).ok()).filter(|axis| *axis < rank);
    found.ok_or_else(|| format!("axis {axis} is not one of {rank} dimensions"))
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

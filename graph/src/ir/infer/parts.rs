//! What the rules of many operations are made of.

use crate::error::InferError;
use crate::ir::dim::Dim;
use crate::ir::types::{Shape, Type};

/// The dimensions of a value that must have `N`.
pub(super) fn dims<const N: usize>(ty: &Type) -> Result<&[Dim; N], InferError> {
    ty.shape.0.as_slice().try_into().map_err(|_| InferError::Rank { shape: ty.shape.to_string(), rank: N })
}

pub(super) fn last(ty: &Type) -> Result<&Dim, InferError> {
    ty.shape.0.last().ok_or(InferError::NoLastDimension)
}

pub(super) fn axis_of(ty: &Type, axis: usize) -> Result<&Dim, InferError> {
    ty.shape.0.get(axis).ok_or_else(|| InferError::NoAxis { shape: ty.shape.to_string(), axis })
}

pub(super) fn known(dim: &Dim) -> Result<usize, InferError> {
    dim.known().ok_or_else(|| InferError::Unknown { dim: dim.to_string() })
}

/// The type with another size at `axis`, which it has.
pub(super) fn with_axis(ty: &Type, axis: usize, dim: Dim) -> Type {
    let mut shape = ty.shape.clone();
    shape.0[axis] = dim;
    Type { dtype: ty.dtype, shape }
}

/// Checks the shape of an operand.
pub(super) fn expect(ty: &Type, wanted: &[Dim], name: &'static str) -> Result<(), InferError> {
    if ty.shape.0 == wanted {
        return Ok(());
    }
    Err(InferError::Operand { name, shape: ty.shape.to_string(), wanted: Shape(wanted.to_vec()).to_string() })
}

/// NumPy's rule; a symbol equals only itself.
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Shape, InferError> {
    let rank = a.len().max(b.len());
    let one = Dim::constant(1);
    let at = |dims: &[Dim], i: usize| (i + dims.len()).checked_sub(rank).map_or(one.clone(), |j| dims[j].clone());
    let joined: Option<Vec<Dim>> = (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (x, y) if x == one => Some(y),
            (x, y) if y == one => Some(x),
            _ => None,
        })
        .collect();
    let text = |dims: &[Dim]| Shape(dims.to_vec()).to_string();
    joined.map(Shape).ok_or_else(|| InferError::Broadcast { a: text(a), b: text(b) })
}

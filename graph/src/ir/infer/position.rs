//! Positions of tokens, and what is looked up by them.

use super::parts::{dims, expect, known};
use crate::dtype::DType;
use crate::error::InferError;
use crate::ir::dim::Dim;
use crate::ir::types::{Shape, Type};

pub(super) fn rope(inputs: &[&Type]) -> Result<Type, InferError> {
    let x = inputs[0];
    let [.., tokens, width] = &x.shape.0[..] else { return Err(InferError::NoTokens { shape: x.shape.to_string() }) };
    width.exact_div(2).map_err(|_| InferError::OddWidth { width: width.to_string() })?;
    for (table, name) in inputs[1..].iter().zip(["cos", "sin"]) {
        expect(table, &[tokens.clone(), width.clone()], name)?;
    }
    Ok(x.clone())
}

pub(super) fn bucket_bias(table: &Type, max_distance: usize, bidirectional: bool, length: &Dim) -> Result<Type, InferError> {
    let [buckets, heads] = dims::<2>(table)?;
    let exact = known(buckets)? / if bidirectional { 4 } else { 2 };
    if exact == 0 || max_distance <= exact {
        return Err(InferError::Buckets { buckets: buckets.to_string(), max_distance });
    }
    let shape = vec![Dim::constant(1), heads.clone(), length.clone(), length.clone()];
    Ok(Type { dtype: table.dtype, shape: Shape(shape) })
}

pub(super) fn crop_table(table: &Type, side: usize, height: &Dim, width: &Dim) -> Result<Type, InferError> {
    let [_, _, channels] = dims::<3>(table)?;
    let rows = side.checked_mul(side).ok_or(InferError::TableTooLarge)?;
    expect(table, &[Dim::constant(1), Dim::constant(rows), channels.clone()], "table")?;
    if [height, width].iter().any(|size| size.known().is_some_and(|size| size > side)) {
        return Err(InferError::Crop { height: height.to_string(), width: width.to_string(), side });
    }
    Ok(Type { dtype: table.dtype, shape: Shape(vec![Dim::constant(1), height.times(width), channels.clone()]) })
}

pub(super) fn sincos_table(dim: usize, grid: [&Dim; 3], scales: [f64; 2]) -> Result<Type, InferError> {
    if !scales.iter().all(|scale| *scale > 0.0) {
        return Err(InferError::Scales);
    }
    if dim == 0 || !dim.is_multiple_of(16) {
        return Err(InferError::GridWidth { width: dim });
    }
    let rows = grid[0].times(grid[1]).times(grid[2]);
    Ok(Type { dtype: DType::F32, shape: Shape(vec![Dim::constant(1), rows, dim.into()]) })
}

pub(super) fn embedding(ids: &Type, table: &Type) -> Result<Type, InferError> {
    let [_, width] = dims::<2>(table)?;
    let mut shape = ids.shape.clone();
    shape.0.push(width.clone());
    Ok(Type { dtype: table.dtype, shape })
}

pub(super) fn timestep_embed(t: &Type, dim: usize) -> Result<Type, InferError> {
    let [n] = dims::<1>(t)?;
    if !dim.is_multiple_of(2) || dim == 0 {
        return Err(InferError::OddWidth { width: dim.to_string() });
    }
    Ok(Type { dtype: DType::F32, shape: Shape(vec![n.clone(), dim.into()]) })
}

pub(super) fn pool_token(hidden: &Type, ids: &Type) -> Result<Type, InferError> {
    let [batch, tokens, width] = dims::<3>(hidden)?;
    expect(ids, &[batch.clone(), tokens.clone()], "ids")?;
    Ok(Type { dtype: hidden.dtype, shape: Shape(vec![batch.clone(), width.clone()]) })
}

//! A weight plus a product of two small matrices, summed row by row.

use super::elements::{decode, encode};
use super::weight::Weight;
use crate::dtype::DType;
use crate::error::WeightError;

/// The storage type of a changed weight: the base's own, but f32 where it has 16 bits, in which most of a small change
/// would be lost.
pub(super) fn changed_type(base: DType) -> Result<DType, WeightError> {
    match base {
        DType::F16 | DType::BF16 => Ok(DType::F32),
        dtype if dtype.is_float() => Ok(dtype),
        dtype => Err(WeightError::NotFloat { dtype: dtype.name() }),
    }
}

/// Checks the shapes: `up [rows, rank]`, `down [rank, n]`, `base [rows, …]` with `n` elements in each row.
pub(super) fn check(base: &Weight, up: &Weight, down: &Weight) -> Result<(), WeightError> {
    let fits = match (up.shape(), down.shape(), base.shape()) {
        ([rows, rank], [inner, width], [first, rest @ ..]) => {
            rows == first && rank == inner && *width == rest.iter().product::<usize>() && base.elements() > 0 && *rank > 0
        }
        _ => false,
    };
    if !fits {
        let [up, down, base] = [up, down, base].map(|weight| weight.shape().to_vec());
        return Err(WeightError::Product { up, down, base });
    }
    Ok(())
}

/// The sum `base + factor * (up · down)`, whose shapes are checked, in the storage type `result_type`.
pub(super) fn evaluate(base: &Weight, up: &Weight, down: &Weight, factor: f64, result_type: DType) -> Vec<u8> {
    let (dtype, rank, width) = (base.dtype(), up.shape()[1], down.shape()[1]);
    let (up, down) = (up.to_f64(), down.to_f64());
    let mut result = Vec::with_capacity(base.elements() * result_type.size());
    let mut product = vec![0.0; width];
    base.with_bytes(|bytes| {
        for (row, factors) in bytes.chunks_exact(width * dtype.size()).zip(up.chunks_exact(rank)) {
            product.fill(0.0);
            for (factor, inner) in factors.iter().zip(down.chunks_exact(width)) {
                product.iter_mut().zip(inner).for_each(|(sum, value)| *sum += factor * value);
            }
            let row = decode(row, dtype, |value| value);
            let sums = row.into_iter().zip(&product).map(|(base, product)| base + factor * product);
            result.extend(encode(sums, result_type));
        }
    });
    result
}

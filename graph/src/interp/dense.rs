//! Products with weights: linear layers and matrix products.

use ndarray::{ArrayD, ArrayView2};

use super::shape;
use super::tensor::{expect, from_vec, row_major, sizes};
use crate::error::RunError;

type Floats = ArrayD<f64>;

/// `x [.., i] · weightᵀ [i, o] + bias [o]`.
pub(super) fn linear(x: &Floats, weight: &Floats, bias: Option<&Floats>) -> Result<Floats, RunError> {
    let [out, width] = sizes(weight, "weight")?;
    let Some((&last, batch)) = x.shape().split_last() else { return Err(RunError::Scalar) };
    if last != width {
        return Err(RunError::Linear { x: x.shape().to_vec(), weight: weight.shape().to_vec() });
    }
    let rows: usize = batch.iter().product();
    let (x, weight) = (row_major(x), row_major(weight));
    let mut result = product(matrix(&x, rows, width)?, matrix(&weight, out, width)?.reversed_axes());
    if let Some(bias) = bias {
        expect(bias, &[out], "bias")?;
        for row in result.chunks_mut(out.max(1)) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
    from_vec(result, &[batch, &[out]].concat())
}

/// `a [.., m, k] · b [.., k, n]`, each possibly given transposed; batch dimensions broadcast.
pub(super) fn mat_mul(a: &Floats, b: &Floats, transpose_a: bool, transpose_b: bool) -> Result<Floats, RunError> {
    let [rows_a, columns_a] = last_two(a)?;
    let [rows_b, columns_b] = last_two(b)?;
    let (m, k) = if transpose_a { (columns_a, rows_a) } else { (rows_a, columns_a) };
    let (inner, n) = if transpose_b { (columns_b, rows_b) } else { (rows_b, columns_b) };
    if k != inner {
        return Err(RunError::Inner { a: k, b: inner });
    }
    let batch = shape::broadcast_shape(&a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
    let a = shape::expand(a, &[&batch[..], &[rows_a, columns_a]].concat())?;
    let b = shape::expand(b, &[&batch[..], &[rows_b, columns_b]].concat())?;
    let (a, b) = (row_major(&a), row_major(&b));
    let mut result = Vec::with_capacity(batch.iter().product::<usize>() * m * n);
    for i in 0..batch.iter().product() {
        let a = matrix(&a[i * m * k..], rows_a, columns_a)?;
        let b = matrix(&b[i * k * n..], rows_b, columns_b)?;
        let a = if transpose_a { a.reversed_axes() } else { a };
        let b = if transpose_b { b.reversed_axes() } else { b };
        result.extend(product(a, b));
    }
    from_vec(result, &[&batch[..], &[m, n]].concat())
}

/// The first `rows * columns` elements as a matrix.
pub(super) fn matrix(values: &[f64], rows: usize, columns: usize) -> Result<ArrayView2<'_, f64>, RunError> {
    let values = values.get(..rows * columns).ok_or(RunError::TooShort)?;
    Ok(ArrayView2::from_shape((rows, columns), values)?)
}

/// A matrix product, row-major.
pub(super) fn product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Vec<f64> {
    let product = a.dot(&b);
    match product.as_slice() {
        Some(values) => values.to_vec(),
        None => product.iter().copied().collect(),
    }
}

fn last_two(x: &Floats) -> Result<[usize; 2], RunError> {
    match x.shape() {
        [.., rows, columns] => Ok([*rows, *columns]),
        shape => Err(RunError::NotAMatrix { shape: shape.to_vec() }),
    }
}

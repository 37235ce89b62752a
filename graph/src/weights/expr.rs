//! Pure expressions over weights, evaluated in row-major order; the result is a function of the bytes alone.

use std::sync::Arc;

use super::elements::encode;
use super::float8::Float8;
use super::mapped::MappedFile;
use super::weight::{Kind, Weight, WeightExpr};
use super::{algebra, low_rank};
use crate::dtype::DType;
use crate::error::WeightError;

impl WeightExpr {
    /// Reorders dimensions: dimension `i` of the result is dimension `axes[i]` of the weight.
    ///
    /// # Errors
    /// When `axes` is not a permutation of the weight's dimensions.
    pub fn permute(weight: Weight, axes: &[usize]) -> Result<Weight, WeightError> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted != (0..weight.shape().len()).collect::<Vec<_>>() {
            return Err(WeightError::Permute { axes: axes.to_vec(), shape: weight.shape().to_vec() });
        }
        let shape = axes.iter().map(|&axis| weight.shape()[axis]).collect();
        Ok(Self::weight(weight.dtype(), shape, Kind::Permute(weight, axes.to_vec())))
    }

    /// The same elements in another shape; a stored weight stays one.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape(weight: Weight, shape: Vec<usize>) -> Result<Weight, WeightError> {
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if elements != Some(weight.elements()) {
            return Err(WeightError::Reshape { from: weight.shape().to_vec(), to: shape });
        }
        Ok(match weight {
            Weight::Mapped { file, offset, dtype, .. } => Weight::Mapped { file, offset, dtype, shape },
            Weight::Owned { bytes, dtype, .. } => Weight::Owned { bytes, dtype, shape },
            Weight::Expr(_) => Self::weight(weight.dtype(), shape, Kind::Reshape(weight)),
        })
    }

    /// `count` entries of the first dimension from `start`; a range of a file stays one.
    ///
    /// # Errors
    /// When the weight has no such entries.
    pub fn rows(weight: Weight, start: usize, count: usize) -> Result<Weight, WeightError> {
        let fits = |rows: &usize| start.checked_add(count).is_some_and(|end| end <= *rows);
        let Some((_, rest)) = weight.shape().split_first().filter(|(rows, _)| fits(rows)) else {
            return Err(WeightError::Rows { shape: weight.shape().to_vec(), start, count });
        };
        let mut shape = vec![count];
        shape.extend_from_slice(rest);
        // The range lies in the weight, whose own size did not overflow.
        let first = start * rest.iter().product::<usize>() * weight.dtype().size();
        Ok(match weight {
            Weight::Mapped { file, offset, dtype, .. } => Weight::Mapped { file, offset: offset + first, dtype, shape },
            _ => Self::weight(weight.dtype(), shape, Kind::Rows(weight, first)),
        })
    }

    /// The second half of the first dimension before the first half.
    ///
    /// # Errors
    /// When the first dimension is not even.
    pub fn swap_halves(weight: Weight) -> Result<Weight, WeightError> {
        match weight.shape().first() {
            Some(rows) if rows % 2 == 0 => Ok(Self::weight(weight.dtype(), weight.shape().to_vec(), Kind::SwapHalves(weight))),
            _ => Err(WeightError::Halves { shape: weight.shape().to_vec() }),
        }
    }

    /// `base + factor * (up · down)`: products and sums in f64, rounded once. `up` is `[rows, rank]` and `down`
    /// `[rank, n]`, where `base` has `rows` as its first dimension and `n` elements in each. The result of a 16-bit base
    /// is f32: rounded to 16 bits, most of a small change would be lost.
    ///
    /// # Errors
    /// When the shapes do not fit or the base is not a float.
    pub fn low_rank(base: Weight, up: Weight, down: Weight, factor: f64) -> Result<Weight, WeightError> {
        let dtype = low_rank::changed_type(base.dtype())?;
        let shape = base.shape().to_vec();
        low_rank::check(&base, &up, &down)?;
        Ok(Self::weight(dtype, shape, Kind::LowRank { base, up, down, factor }))
    }

    /// The same elements in another storage type, rounded to nearest even.
    pub fn cast(weight: Weight, dtype: DType) -> Weight {
        Self::weight(dtype, weight.shape().to_vec(), Kind::Cast(weight))
    }

    /// Every element times a factor, computed in f64 and rounded once.
    pub fn scale(weight: Weight, factor: f64) -> Weight {
        Self::weight(weight.dtype(), weight.shape().to_vec(), Kind::Scale(weight, factor))
    }

    /// A range of a mapped file that holds 8-bit floats, as 16-bit floats, which is exact.
    ///
    /// # Errors
    /// As [`Weight::mapped`].
    pub fn widened(file: Arc<MappedFile>, offset: usize, kind: Float8, shape: Vec<usize>) -> Result<Weight, WeightError> {
        let bytes = Weight::mapped(file, offset, DType::U8, shape.clone())?;
        Ok(Self::weight(DType::F16, shape, Kind::Widen(bytes, kind)))
    }

    pub(super) fn weight(dtype: DType, shape: Vec<usize>, kind: Kind) -> Weight {
        Weight::Expr(Arc::new(Self { kind, dtype, shape }))
    }

    /// The elements of what is computed in f64 anyway.
    pub(super) fn combined_values(&self) -> Option<Vec<f64>> {
        match &self.kind {
            Kind::Combined(combination, left, right) => Some(algebra::combine(*combination, left, right)),
            _ => None,
        }
    }

    pub(super) fn evaluate(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Permute(weight, axes) => weight.with_bytes(|bytes| permute(bytes, weight, axes, &self.shape)),
            Kind::Reshape(weight) => weight.with_bytes(<[u8]>::to_vec),
            Kind::Cast(weight) => encode(weight.to_f64().into_iter(), self.dtype),
            Kind::Scale(weight, factor) => encode(weight.to_f64().into_iter().map(|v| v * factor), self.dtype),
            Kind::Widen(weight, kind) => weight.with_bytes(|bytes| kind.widen(bytes)),
            Kind::Rows(weight, first) => {
                let length = self.shape.iter().product::<usize>() * self.dtype.size();
                weight.with_bytes(|bytes| bytes[*first..*first + length].to_vec())
            }
            Kind::SwapHalves(weight) => weight.with_bytes(|bytes| {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                [second, first].concat()
            }),
            Kind::Combined(combination, left, right) => {
                encode(algebra::combine(*combination, left, right).into_iter(), self.dtype)
            }
            Kind::Changed { base, change, factor, magnitude } => {
                algebra::evaluate(base, change, *factor, magnitude.as_ref(), self.dtype)
            }
            Kind::LowRank { base, up, down, factor } => low_rank::evaluate(base, up, down, *factor, self.dtype),
        }
    }
}

fn permute(bytes: &[u8], weight: &Weight, axes: &[usize], shape: &[usize]) -> Vec<u8> {
    let size = weight.dtype().size();
    let mut strides = vec![size; axes.len()];
    for i in (0..axes.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * weight.shape()[i + 1];
    }
    let steps: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
    let mut result = Vec::with_capacity(bytes.len());
    let mut index = vec![0usize; shape.len()];
    for _ in 0..weight.elements() {
        let start: usize = index.iter().zip(&steps).map(|(i, step)| i * step).sum();
        result.extend_from_slice(&bytes[start..start + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn counting(shape: &[usize]) -> Weight {
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
        Weight::from_f32(&values, shape.to_vec()).unwrap()
    }

    #[test]
    fn rows_and_halves() {
        let middle = WeightExpr::rows(counting(&[6, 2]), 2, 2).unwrap();
        assert_eq!((middle.shape(), middle.to_f32()), (&[2, 2][..], vec![4.0, 5.0, 6.0, 7.0]));
        assert_eq!(WeightExpr::rows(middle, 1, 1).unwrap().to_f32(), [6.0, 7.0]);
        let refused = WeightExpr::rows(counting(&[6, 2]), 5, 2).unwrap_err();
        assert_eq!(refused.to_string(), "[6, 2] has no rows 5..+2");
        assert_eq!(WeightExpr::swap_halves(counting(&[4])).unwrap().to_f32(), [2.0, 3.0, 0.0, 1.0]);
        let refused = WeightExpr::swap_halves(counting(&[3])).unwrap_err();
        assert_eq!(refused.to_string(), "[3] does not divide into two halves");
    }

    #[test]
    fn low_rank_sums() {
        // [[1, 2], [3, 4], [5, 6]] * [[1, 0, 2], [0, 1, 1]] by hand.
        let up = Weight::from_f32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![3, 2]).unwrap();
        let down = Weight::from_f32(&[1.0, 0.0, 2.0, 0.0, 1.0, 1.0], vec![2, 3]).unwrap();
        let sum = WeightExpr::low_rank(counting(&[3, 3, 1]), up.clone(), down.clone(), 0.5).unwrap();
        assert_eq!(sum.to_f32(), [0.5, 2.0, 4.0, 4.5, 6.0, 10.0, 8.5, 10.0, 16.0]);
        let refused = WeightExpr::low_rank(counting(&[3, 4]), up, down, 1.0).unwrap_err();
        assert_eq!(refused.to_string(), "[3, 2] times [2, 3] does not fit a weight of [3, 4]");
    }
}

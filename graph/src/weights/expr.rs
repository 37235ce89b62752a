//! Pure expressions over weights, evaluated in row-major order; the result is a function of the bytes alone.

use super::{Weight, encode};
use crate::ir::DType;

/// A weight computed from others. Constructors check shapes, so evaluation cannot fail.
#[derive(Debug)]
pub struct WeightExpr {
    kind: Kind,
    dtype: DType,
    shape: Vec<usize>,
}

#[derive(Debug)]
enum Kind {
    Permute(Weight, Vec<usize>),
    Reshape(Weight),
    Cast(Weight),
    Scale(Weight, f64),
}

impl WeightExpr {
    /// Reorders dimensions: dimension `i` of the result is dimension `axes[i]` of the weight.
    ///
    /// # Errors
    /// When `axes` is not a permutation of the weight's dimensions.
    pub fn permute(weight: Weight, axes: &[usize]) -> Result<Weight, String> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted != (0..weight.shape().len()).collect::<Vec<_>>() {
            return Err(format!("{axes:?} does not reorder the dimensions of {:?}", weight.shape()));
        }
        let shape = axes.iter().map(|&axis| weight.shape()[axis]).collect();
        Ok(Self::weight(weight.dtype(), shape, Kind::Permute(weight, axes.to_vec())))
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape(weight: Weight, shape: Vec<usize>) -> Result<Weight, String> {
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if elements != Some(weight.elements()) {
            return Err(format!("{:?} cannot be reshaped to {shape:?}", weight.shape()));
        }
        Ok(Self::weight(weight.dtype(), shape, Kind::Reshape(weight)))
    }

    /// The same elements in another storage type, rounded to nearest even.
    pub fn cast(weight: Weight, dtype: DType) -> Weight {
        Self::weight(dtype, weight.shape().to_vec(), Kind::Cast(weight))
    }

    /// Every element times a factor, computed in f64 and rounded once.
    pub fn scale(weight: Weight, factor: f64) -> Weight {
        Self::weight(weight.dtype(), weight.shape().to_vec(), Kind::Scale(weight, factor))
    }

    fn weight(dtype: DType, shape: Vec<usize>, kind: Kind) -> Weight {
        Weight::Expr(std::sync::Arc::new(Self { kind, dtype, shape }))
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn evaluate(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Permute(weight, axes) => weight.with_bytes(|bytes| permute(bytes, weight, axes, &self.shape)),
            Kind::Reshape(weight) => weight.with_bytes(<[u8]>::to_vec),
            Kind::Cast(weight) => encode(weight.to_f64().into_iter(), self.dtype),
            Kind::Scale(weight, factor) => encode(weight.to_f64().into_iter().map(|v| v * factor), self.dtype),
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

//! Concrete values of the interpreter.

use ndarray::{ArrayD, IxDyn};

use crate::error::RunError;
use crate::weights::Weight;

/// Elements of the largest tensor that the interpreter makes (8 GiB of f64): a guard against hostile shapes.
const MAX_ELEMENTS: usize = 1 << 30;

/// A value: floats of any type as f64, integers and booleans as i64. Row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// Every floating-point type.
    Float(ArrayD<f64>),
    /// Every integer type, and booleans as 0 and 1.
    Int(ArrayD<i64>),
}

impl Tensor {
    /// A float tensor from f32 values, row-major.
    ///
    /// # Errors
    /// When the number of values is not that of the shape.
    pub fn from_f32(values: &[f32], shape: &[usize]) -> Result<Self, RunError> {
        from_vec(values.iter().copied().map(f64::from).collect(), shape).map(Tensor::Float)
    }

    /// A float tensor from f64 values, row-major.
    ///
    /// # Errors
    /// When the number of values is not that of the shape.
    pub fn from_f64(values: Vec<f64>, shape: &[usize]) -> Result<Self, RunError> {
        from_vec(values, shape).map(Tensor::Float)
    }

    /// An integer tensor, row-major.
    ///
    /// # Errors
    /// When the number of values is not that of the shape.
    pub fn from_i64(values: Vec<i64>, shape: &[usize]) -> Result<Self, RunError> {
        from_vec(values, shape).map(Tensor::Int)
    }

    /// A weight's elements.
    ///
    /// # Errors
    /// When it is larger than the interpreter allows.
    pub fn from_weight(weight: &Weight) -> Result<Self, RunError> {
        elements(weight.shape())?;
        if weight.dtype().is_float() {
            Self::from_f64(weight.to_f64(), weight.shape())
        } else {
            Self::from_i64(weight.to_i64(), weight.shape())
        }
    }

    /// The sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Tensor::Float(x) => x.shape(),
            Tensor::Int(x) => x.shape(),
        }
    }

    /// Whether the elements are floats.
    pub fn is_float(&self) -> bool {
        matches!(self, Tensor::Float(_))
    }

    /// The array of floats.
    ///
    /// # Errors
    /// When the elements are integers.
    pub fn floats(&self) -> Result<&ArrayD<f64>, RunError> {
        match self {
            Tensor::Float(x) => Ok(x),
            Tensor::Int(_) => Err(RunError::NotFloats),
        }
    }

    /// The array of integers.
    ///
    /// # Errors
    /// When the elements are floats.
    pub fn integers(&self) -> Result<&ArrayD<i64>, RunError> {
        match self {
            Tensor::Int(x) => Ok(x),
            Tensor::Float(_) => Err(RunError::NotIntegers),
        }
    }

    /// All elements as f64, row-major.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Tensor::Float(x) => x.iter().copied().collect(),
            Tensor::Int(x) => x.iter().map(|&v| v as f64).collect(),
        }
    }

    /// All elements rounded to f32, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        self.to_f64().into_iter().map(|v| v as f32).collect()
    }
}

/// Number of elements of a shape, if the interpreter may make such a tensor.
pub(super) fn elements(shape: &[usize]) -> Result<usize, RunError> {
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let too_large = || RunError::TooLarge { shape: shape.to_vec(), most: MAX_ELEMENTS };
    product.filter(|count| *count <= MAX_ELEMENTS).ok_or_else(too_large)
}

/// A row-major array.
pub(super) fn from_vec<T>(values: Vec<T>, shape: &[usize]) -> Result<ArrayD<T>, RunError> {
    let count = values.len();
    if elements(shape)? != count {
        return Err(RunError::Count { count, shape: shape.to_vec() });
    }
    Ok(ArrayD::from_shape_vec(IxDyn(shape), values)?)
}

/// The elements in row-major order, copied only when the array is laid out otherwise.
pub(super) fn row_major<T: Clone>(x: &ArrayD<T>) -> std::borrow::Cow<'_, [T]> {
    match x.as_slice() {
        Some(slice) => slice.into(),
        None => x.iter().cloned().collect::<Vec<T>>().into(),
    }
}

/// The sizes of an array that must have `N` dimensions.
pub(super) fn sizes<const N: usize, T>(x: &ArrayD<T>, name: &'static str) -> Result<[usize; N], RunError> {
    x.shape().try_into().map_err(|_| RunError::Rank { name, shape: x.shape().to_vec(), rank: N })
}

/// Checks the shape of an operand.
pub(super) fn expect<T>(x: &ArrayD<T>, shape: &[usize], name: &'static str) -> Result<(), RunError> {
    if x.shape() == shape {
        return Ok(());
    }
    Err(RunError::Operand { name, shape: x.shape().to_vec(), wanted: shape.to_vec() })
}

//! What a weight is, and what one computed from others is.

use std::sync::Arc;

use super::elements::{byte_length, decode};
use super::float8::Float8;
use super::mapped::MappedFile;
use crate::dtype::DType;
use crate::error::WeightError;
use crate::store::hash::Hasher;

/// A tensor's data, evaluated one at a time when somebody streams it. Cloning is cheap.
#[derive(Clone, Debug)]
pub enum Weight {
    /// Bytes of a mapped file, little-endian, row-major.
    Mapped {
        /// The file.
        file: Arc<MappedFile>,
        /// First byte.
        offset: usize,
        /// Storage type.
        dtype: DType,
        /// Sizes.
        shape: Vec<usize>,
    },
    /// Bytes in memory, little-endian, row-major.
    Owned {
        /// The bytes.
        bytes: Arc<[u8]>,
        /// Storage type.
        dtype: DType,
        /// Sizes.
        shape: Vec<usize>,
    },
    /// Computed from other weights when asked for.
    Expr(Arc<WeightExpr>),
}

/// A weight computed from others. Constructors check shapes, so evaluation cannot fail.
#[derive(Debug)]
pub struct WeightExpr {
    pub(super) kind: Kind,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

/// How it is computed.
#[derive(Debug)]
pub(super) enum Kind {
    Permute(Weight, Vec<usize>),
    Reshape(Weight),
    Cast(Weight),
    Scale(Weight, f64),
    /// Bytes that are 8-bit floats.
    Widen(Weight, Float8),
    /// From this byte on.
    Rows(Weight, usize),
    SwapHalves(Weight),
    /// `base + factor * (up · down)`.
    LowRank {
        base: Weight,
        up: Weight,
        down: Weight,
        factor: f64,
    },
    Combined(Combination, Weight, Weight),
    /// `base + factor * change`, then with new lengths.
    Changed {
        base: Weight,
        change: Weight,
        factor: f64,
        magnitude: Option<Magnitude>,
    },
}

/// A combination of two weights, computed in f64 and kept so: what is made of it is rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combination {
    /// `[rows, inner] · [inner, columns]`.
    Product,
    /// Element by element.
    Times,
    /// `[a, b] ⊗ [c, d]`, which is `[a c, b d]`.
    Kronecker,
}

/// New lengths for the rows (`axis` 0) or the columns (`axis` 1) of a weight.
#[derive(Clone, Debug)]
pub struct Magnitude {
    /// As many elements as the axis has.
    pub lengths: Weight,
    /// 0 or 1. A column is everything with one index in the second dimension.
    pub axis: usize,
}

impl Weight {
    /// A range of a mapped file.
    ///
    /// # Errors
    /// When the range does not lie in the file, or the size overflows.
    pub fn mapped(file: Arc<MappedFile>, offset: usize, dtype: DType, shape: Vec<usize>) -> Result<Self, WeightError> {
        let Some(length) = byte_length(dtype, &shape) else { return Err(WeightError::TooLarge { shape }) };
        let end = offset.checked_add(length).filter(|end| *end <= file.bytes().len());
        match end {
            Some(_) => Ok(Weight::Mapped { file, offset, dtype, shape }),
            None => Err(WeightError::OutsideFile { offset, length, size: file.bytes().len() }),
        }
    }

    /// Bytes in memory.
    ///
    /// # Errors
    /// When the number of bytes is not that of the shape.
    pub fn owned(bytes: Arc<[u8]>, dtype: DType, shape: Vec<usize>) -> Result<Self, WeightError> {
        match byte_length(dtype, &shape) {
            Some(length) if length == bytes.len() => Ok(Weight::Owned { bytes, dtype, shape }),
            _ => Err(WeightError::Length { bytes: bytes.len(), shape, dtype: dtype.name() }),
        }
    }

    /// A 32-bit float tensor.
    ///
    /// # Errors
    /// When the number of values is not that of the shape.
    pub fn from_f32(values: &[f32], shape: Vec<usize>) -> Result<Self, WeightError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::owned(bytes.into(), DType::F32, shape)
    }

    /// Storage type.
    pub fn dtype(&self) -> DType {
        match self {
            Weight::Mapped { dtype, .. } | Weight::Owned { dtype, .. } => *dtype,
            Weight::Expr(expr) => expr.dtype,
        }
    }

    /// Sizes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Weight::Mapped { shape, .. } | Weight::Owned { shape, .. } => shape,
            Weight::Expr(expr) => &expr.shape,
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Number of bytes in the storage type.
    pub fn byte_length(&self) -> usize {
        self.elements() * self.dtype().size()
    }

    /// The type that the elements have where they are stored, and their bytes there: those of the weight itself unless it
    /// widens 8-bit floats.
    pub fn stored(&self) -> (&'static str, usize) {
        let own = (self.dtype().name(), self.byte_length());
        let Weight::Expr(expr) = self else { return own };
        match &expr.kind {
            Kind::Widen(bytes, kind) => (kind.name(), bytes.byte_length()),
            Kind::Permute(weight, _) | Kind::Reshape(weight) | Kind::Cast(weight) | Kind::Scale(weight, _) => weight.stored(),
            Kind::Rows(..) | Kind::SwapHalves(_) | Kind::LowRank { .. } | Kind::Combined(..) | Kind::Changed { .. } => own,
        }
    }

    /// Calls `f` with the bytes in the storage type; mapped and owned data are not copied.
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            // Construction checked the range.
            Weight::Mapped { file, offset, .. } => f(&file.bytes()[*offset..*offset + self.byte_length()]),
            Weight::Owned { bytes, .. } => f(bytes),
            Weight::Expr(expr) => f(&expr.evaluate()),
        }
    }

    /// All elements as `f32`, row-major (integers are converted, `f64` is rounded).
    pub fn to_f32(&self) -> Vec<f32> {
        self.with_bytes(|bytes| decode(bytes, self.dtype(), |value| value as f32))
    }

    /// All elements as `f64`, row-major.
    pub fn to_f64(&self) -> Vec<f64> {
        if let Weight::Expr(expr) = self
            && let Some(values) = expr.combined_values()
        {
            return values;
        }
        self.with_bytes(|bytes| decode(bytes, self.dtype(), |value| value))
    }

    /// All elements as `i64` (floats are truncated).
    pub fn to_i64(&self) -> Vec<i64> {
        self.with_bytes(|bytes| match self.dtype() {
            DType::I64 => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            dtype => decode(bytes, dtype, |value| value as i64),
        })
    }

    /// Whether both are one weight without looking at its bytes; two equal weights from different places are not.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Weight::Mapped { file, offset, dtype, shape },
                Weight::Mapped { file: other_file, offset: other_offset, dtype: other_dtype, shape: other_shape },
            ) => Arc::ptr_eq(file, other_file) && (offset, dtype, shape) == (other_offset, other_dtype, other_shape),
            (
                Weight::Owned { bytes, dtype, shape },
                Weight::Owned { bytes: other_bytes, dtype: other_dtype, shape: other_shape },
            ) => Arc::ptr_eq(bytes, other_bytes) && (dtype, shape) == (other_dtype, other_shape),
            (Weight::Expr(expr), Weight::Expr(other)) => Arc::ptr_eq(expr, other),
            _ => false,
        }
    }

    /// SHA-256 of type, shape and bytes.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Hasher::new();
        hasher.update(self.dtype().name());
        hasher.update(format!("{:?}", self.shape()));
        self.with_bytes(|bytes| hasher.update(bytes));
        hasher.finish()
    }

    /// Number of elements that are NaN or infinite.
    pub fn nonfinite(&self) -> usize {
        if !self.dtype().is_float() {
            return 0;
        }
        self.with_bytes(|bytes| decode(bytes, self.dtype(), |v| v.is_finite()).into_iter().filter(|ok| !ok).count())
    }
}

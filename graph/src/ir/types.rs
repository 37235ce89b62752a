//! Shapes, and the type of a value.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::error::{DimError, GraphError, InputError, Result};

/// The dimensions of a value, outermost first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape of known sizes.
    pub fn known(sizes: &[usize]) -> Self {
        Self(sizes.iter().map(|&size| Dim::constant(size)).collect())
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The sizes, if no symbol occurs.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        self.0.iter().map(Dim::known).collect()
    }

    /// The product of all dimensions.
    pub fn elements(&self) -> Dim {
        self.0.iter().fold(Dim::constant(1), |product, dim| product.times(dim))
    }

    /// The sizes under `bindings`.
    ///
    /// # Errors
    /// When a symbol is not bound.
    pub fn eval(&self, bindings: &Bindings) -> std::result::Result<Vec<usize>, DimError> {
        self.0.iter().map(|dim| dim.eval(bindings)).collect()
    }

    /// Binds the symbols of this shape from a concrete one, checking what is bound already.
    ///
    /// # Errors
    /// When the rank differs or a size does not fit its dimension; `name` is the input's name for the message.
    pub fn bind(&self, name: &str, sizes: &[usize], bindings: &mut Bindings) -> Result<()> {
        let fail = |reason| GraphError::Input { name: name.into(), reason };
        if sizes.len() != self.rank() {
            return Err(fail(InputError::Rank { sizes: sizes.to_vec(), wanted: self.to_string() }));
        }
        for (dim, &size) in self.0.iter().zip(sizes) {
            if let Some((symbol, factor)) = dim.as_scaled_symbol()
                && !bindings.contains_key(symbol)
            {
                if size % factor != 0 || size == 0 {
                    return Err(fail(InputError::Multiple { size, dim: dim.to_string(), factor }));
                }
                bindings.insert(symbol.clone(), size / factor);
            }
            let wanted = dim.eval(bindings)?;
            if wanted != size {
                let (sizes, dim) = (sizes.to_vec(), dim.to_string());
                return Err(fail(InputError::Size { sizes, wanted: self.to_string(), dim, size: wanted }));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl<D: Into<Dim>, const N: usize> From<[D; N]> for Shape {
    fn from(dims: [D; N]) -> Self {
        Self(dims.into_iter().map(Into::into).collect())
    }
}

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Type {
    /// How elements are stored.
    pub dtype: DType,
    /// The dimensions.
    pub shape: Shape,
}

impl Type {
    /// A 32-bit float value.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self { dtype: DType::F32, shape: shape.into() }
    }

    /// A 64-bit integer value.
    pub fn i64(shape: impl Into<Shape>) -> Self {
        Self { dtype: DType::I64, shape: shape.into() }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype.name(), self.shape)
    }
}

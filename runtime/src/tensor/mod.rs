//! The tensors that go in and out of engines.

pub mod ops;

use crate::Error;

/// The values of a tensor, row major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers: token ids.
    I64(Vec<i64>),
}

/// A dense tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// A tensor of floats.
    ///
    /// # Errors
    /// [`Error::Shape`] if `shape` does not hold exactly `data.len()` elements.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, Error> {
        let shape = shape.into();
        check(&shape, data.len())?;
        Ok(Self { shape, data: Data::F32(data) })
    }

    /// A tensor of integers.
    ///
    /// # Errors
    /// [`Error::Shape`] if `shape` does not hold exactly `data.len()` elements.
    pub fn i64(shape: impl Into<Vec<usize>>, data: Vec<i64>) -> Result<Self, Error> {
        let shape = shape.into();
        check(&shape, data.len())?;
        Ok(Self { shape, data: Data::I64(data) })
    }

    /// The sizes of its axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, row major.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The floats of a float tensor.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor of integers.
    pub fn floats(&self) -> Result<&[f32], Error> {
        match &self.data {
            Data::F32(values) => Ok(values),
            Data::I64(_) => Err(Error::Shape("a tensor of floats was expected but the model gave integers".into())),
        }
    }

    /// The number of elements after the first axis: the length of one row. 0 for a scalar without rows.
    #[must_use]
    pub fn row_len(&self) -> usize {
        if self.shape.is_empty() { 0 } else { self.shape[1..].iter().product() }
    }
}

fn check(shape: &[usize], len: usize) -> Result<(), Error> {
    let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if elements == Some(len) {
        Ok(())
    } else {
        Err(Error::Shape(format!("a tensor of shape {shape:?} cannot hold {len} values")))
    }
}

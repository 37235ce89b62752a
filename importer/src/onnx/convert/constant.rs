//! Tensors whose elements are known while a model is imported, and what may be computed with them.

use dmdx_graph::weights::encode;
use dmdx_graph::{DType, Dim, Weight};

use super::sizes::{integer, known};
use crate::limits::Limits;

/// Sizes are not counted in bulk.
const MOST_SIZES: usize = 1024;

/// The elements, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    /// Integers of which some contain symbols.
    Sizes(Vec<Dim>),
}

/// A tensor of known elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub data: Data,
}

/// What an operation on constants gives; nothing when it cannot be computed from them.
pub(super) type Folded = Result<Option<Constant>, String>;

/// What is left of the limits on computed tensors.
#[derive(Debug)]
pub(super) struct Budget {
    tensor: u64,
    left: u64,
    total: u64,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { tensor: limits.folded_tensor_bytes, left: limits.folded_bytes, total: limits.folded_bytes }
    }

    /// Takes the bytes of a tensor before it is made, eight per element, and gives its number of elements.
    pub(super) fn take(&mut self, shape: &[usize]) -> Result<usize, String> {
        // A size of zero must not hide others from which distances are computed.
        let bytes = shape.iter().try_fold(8u64, |product, &size| product.checked_mul(size.max(1) as u64));
        let Some(bytes) = bytes.filter(|bytes| *bytes <= self.tensor) else {
            let limit = self.tensor;
            return Err(format!(
                "computes a constant of shape {shape:?}, above the {limit} bytes of `Limits::folded_tensor_bytes`"
            ));
        };
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| format!("takes all computed constants above the {} bytes of `Limits::folded_bytes`", self.total))?;
        Ok(shape.iter().product())
    }
}

impl Constant {
    pub(super) fn ints(values: Vec<i64>, shape: Vec<usize>) -> Self {
        Self { dtype: DType::I64, shape, data: Data::Ints(values) }
    }

    pub(super) fn floats(values: Vec<f64>, shape: Vec<usize>) -> Self {
        Self { dtype: DType::F32, shape, data: Data::Floats(values) }
    }

    /// Integers of which some may contain symbols; they become plain integers when none does.
    pub(super) fn sizes(values: Vec<Dim>, shape: Vec<usize>) -> Self {
        let data = match values.iter().map(known).collect() {
            Some(values) => Data::Ints(values),
            None => Data::Sizes(values),
        };
        Self { dtype: DType::I64, shape, data }
    }

    /// The elements of a weight.
    pub(super) fn of(weight: &Weight, budget: &mut Budget) -> Result<Self, String> {
        budget.take(weight.shape())?;
        let data = match weight.dtype().is_float() {
            true => Data::Floats(weight.to_f64()),
            false => Data::Ints(weight.to_i64()),
        };
        Ok(Self { dtype: weight.dtype(), shape: weight.shape().to_vec(), data })
    }

    /// The tensor as a weight; sizes with symbols are none.
    pub(super) fn weight(&self) -> Result<Weight, String> {
        let (bytes, dtype) = match &self.data {
            Data::Ints(values) => (values.iter().flat_map(|value| value.to_le_bytes()).collect(), DType::I64),
            Data::Floats(values) => (encode(values.iter().copied(), self.dtype), self.dtype),
            Data::Sizes(_) => return Err("uses sizes that are known only when the network runs as data".into()),
        };
        Weight::owned(bytes.into(), dtype, self.shape.clone()).map_err(|error| error.to_string())
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Ints(values) => values.len(),
            Data::Floats(values) => values.len(),
            Data::Sizes(values) => values.len(),
        }
    }

    /// The only element as a number.
    pub(super) fn scalar(&self) -> Option<f64> {
        match &self.data {
            Data::Ints(values) if values.len() == 1 => Some(values[0] as f64),
            Data::Floats(values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }

    /// The elements as integers.
    pub(super) fn to_ints(&self) -> Result<Vec<i64>, String> {
        match &self.data {
            Data::Ints(values) => Ok(values.clone()),
            Data::Sizes(_) => Err("needs sizes that are known only when the network runs".into()),
            Data::Floats(_) => Err("needs integers where it has floats".into()),
        }
    }

    /// The elements as sizes.
    pub(super) fn to_sizes(&self) -> Result<Vec<Dim>, String> {
        match &self.data {
            Data::Sizes(values) => Ok(values.clone()),
            Data::Ints(values) if values.len() <= MOST_SIZES => Ok(values.iter().map(|&value| integer(value)).collect()),
            Data::Ints(values) => Err(format!("computes with {} sizes, at most {MOST_SIZES} are read", values.len())),
            Data::Floats(_) => Err("needs integers where it has floats".into()),
        }
    }

    /// The elements at these places of the row-major order.
    pub(super) fn picked(&self, places: &[usize], shape: Vec<usize>) -> Self {
        let data = match &self.data {
            Data::Ints(values) => Data::Ints(places.iter().map(|&place| values[place]).collect()),
            Data::Floats(values) => Data::Floats(places.iter().map(|&place| values[place]).collect()),
            Data::Sizes(values) => return Self::sizes(places.iter().map(|&place| values[place].clone()).collect(), shape),
        };
        Self { dtype: self.dtype, shape, data }
    }
}

/// The places of the elements of a tensor of shape `from` when it is broadcast to `to`.
pub(super) fn broadcast_places(from: &[usize], to: &[usize]) -> Vec<usize> {
    let missing = to.len() - from.len();
    let mut strides = vec![0usize; to.len()];
    let mut stride = 1;
    for (i, &size) in from.iter().enumerate().rev() {
        strides[missing + i] = if size == 1 { 0 } else { stride };
        stride *= size;
    }
    walk(to, &strides, 0)
}

/// The places that a walk over `sizes` in row-major order visits.
pub(super) fn walk(sizes: &[usize], strides: &[usize], start: usize) -> Vec<usize> {
    let count = sizes.iter().product();
    let mut places = Vec::with_capacity(count);
    let mut index = vec![0usize; sizes.len()];
    let mut place = start;
    for _ in 0..count {
        places.push(place);
        for axis in (0..sizes.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < sizes[axis] {
                break;
            }
            place -= strides[axis] * sizes[axis];
            index[axis] = 0;
        }
    }
    places
}

/// Distances between neighbours along each axis, row-major.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// NumPy's rule for known shapes.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |j| shape[j]);
    let joined = (0..rank).map(|i| match (at(a, i), at(b, i)) {
        (x, y) if x == y || y == 1 => Some(x),
        (1, y) => Some(y),
        _ => None,
    });
    joined.collect()
}

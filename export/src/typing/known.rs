//! What is known of one value.

use dmdx_graph::{DType, Dim, Shape, Weight};

/// Vectors of sizes are short.
pub(super) const MOST_VALUES: usize = 64;

/// The element type, the sizes, and for vectors of sizes the elements; `None` stands for what is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Element type.
    pub(crate) dtype: DType,
    /// Sizes, outermost first.
    pub(crate) dims: Vec<Option<Dim>>,
    /// Elements of a small tensor of integers, row-major.
    pub(crate) values: Option<Vec<Option<Dim>>>,
}

impl Known {
    /// A value of which nothing but type and sizes is known.
    pub(crate) fn new(dtype: DType, dims: Vec<Option<Dim>>) -> Self {
        Self { dtype, dims, values: None }
    }

    /// A value of a known shape.
    pub(crate) fn shaped(dtype: DType, shape: &Shape) -> Self {
        Self::new(dtype, shape.0.iter().cloned().map(Some).collect())
    }

    /// A weight, with its elements if it is a small tensor of integers.
    pub(crate) fn of_weight(weight: &Weight) -> Self {
        let known = Self::shaped(weight.dtype(), &Shape::known(weight.shape()));
        let is_small = weight.dtype() == DType::I64 && weight.elements() <= MOST_VALUES;
        let values = is_small.then(|| weight.to_i64().iter().map(|&value| Some(Dim::constant(0).offset(value))).collect());
        known.with(values)
    }

    /// A vector of sizes.
    pub(crate) fn vector(values: Vec<Option<Dim>>) -> Self {
        Self { dtype: DType::I64, dims: vec![Some(Dim::constant(values.len()))], values: Some(values) }
    }

    /// The same with these elements.
    pub(crate) fn with(self, values: Option<Vec<Option<Dim>>>) -> Self {
        Self { values, ..self }
    }

    /// The elements as numbers, if all are.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        self.values.as_ref()?.iter().map(|value| integer(value.as_ref()?)).collect()
    }
}

/// A number, which a size that is known is, and its negative.
fn integer(dim: &Dim) -> Option<i64> {
    let mut terms = dim.terms();
    match (terms.next(), terms.next()) {
        (None, _) => Some(0),
        (Some(([], constant)), None) => Some(constant),
        _ => None,
    }
}

/// The sizes of two values that broadcast against each other.
pub(crate) fn broadcast(a: &[Option<Dim>], b: &[Option<Dim>]) -> Vec<Option<Dim>> {
    let rank = a.len().max(b.len());
    let one = Some(Dim::constant(1));
    let at = |dims: &[Option<Dim>], axis: usize| match (axis + dims.len()).checked_sub(rank) {
        Some(own) => dims[own].clone(),
        None => one.clone(),
    };
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (a, b) if a == b || b == one => a,
            (a, b) if a == one => b,
            // A number beside a name: the name stands for it, or for 1.
            (Some(a), Some(b)) if a.known().is_some() != b.known().is_some() => Some(if a.known().is_some() { a } else { b }),
            _ => None,
        })
        .collect()
}

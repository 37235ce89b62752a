//! Where in a file the tensor of a parameter is, and what has to be done with it.

use std::collections::BTreeSet;

use dmdx_graph::Weight;
use dmdx_graph::weights::WeightExpr;

/// What is done with a tensor of the file. All of it is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    /// Nothing.
    Same,
    /// Part `part` of `of` equal parts of the first dimension (fused query, key and value).
    Rows {
        /// Which part.
        part: usize,
        /// Of how many.
        of: usize,
    },
    /// Both dimensions change places.
    Transpose,
    /// The halves of the first dimension change places (shift and scale).
    SwapHalves,
    /// A convolution with a 1×1 kernel serves as a matrix.
    Pointwise,
}

/// Where the tensor of a parameter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// The tensor's name in the file.
    pub tensor: String,
    /// What is done with it.
    pub transform: Transform,
    /// A file without the tensor means the identity matrix.
    pub or_identity: bool,
}

impl Recipe {
    /// A tensor as it stands.
    pub(crate) fn same(tensor: impl Into<String>) -> Self {
        Self::with(tensor, Transform::Same)
    }

    /// A transformed tensor.
    pub(crate) fn with(tensor: impl Into<String>, transform: Transform) -> Self {
        Self { tensor: tensor.into(), transform, or_identity: false }
    }
}

impl Transform {
    /// The shapes that a tensor of the file may have so that a parameter of shape `needed` comes of it.
    pub(crate) fn source_shapes(self, needed: &[usize]) -> Vec<Vec<usize>> {
        let mut shape = needed.to_vec();
        match self {
            Transform::Same | Transform::SwapHalves => {}
            Transform::Rows { of, .. } => shape.iter_mut().take(1).for_each(|rows| *rows = rows.saturating_mul(of)),
            Transform::Transpose => shape.reverse(),
            Transform::Pointwise => return vec![[needed, &[1, 1]].concat(), shape],
        }
        vec![shape]
    }

    /// The parameter of shape `needed`, computed from a tensor of one of the [`Transform::source_shapes`]; nothing when the
    /// tensor has another shape.
    pub(crate) fn apply(self, weight: Weight, needed: &[usize]) -> Option<Weight> {
        match self {
            Transform::Same => Some(weight),
            Transform::Rows { part, .. } => {
                let count = needed.first().copied().unwrap_or(0);
                WeightExpr::rows(weight, part.saturating_mul(count), count).ok()
            }
            Transform::Transpose => WeightExpr::permute(weight, &[1, 0]).ok(),
            Transform::SwapHalves => WeightExpr::swap_halves(weight).ok(),
            Transform::Pointwise => WeightExpr::reshape(weight, needed.to_vec()).ok(),
        }
    }
}

/// How many consecutive numbers `i` from 0 a name has among the parameters.
pub(super) fn count(params: &BTreeSet<&str>, name: impl Fn(usize) -> String) -> usize {
    // Names are finite, so this ends.
    (0..).take_while(|&i| params.contains(name(i).as_str())).count()
}

//! Products of small matrices, dense and in f64: what larger changes of a weight are made of.

use super::elements::encode;
use super::low_rank::changed_type;
use super::weight::{Combination, Kind, Magnitude, Weight, WeightExpr};
use crate::dtype::DType;
use crate::error::WeightError;

impl WeightExpr {
    /// The product of two matrices, `[rows, inner] · [inner, columns]`, in f64.
    ///
    /// # Errors
    /// When the shapes do not fit or are too large.
    pub fn product(left: Weight, right: Weight) -> Result<Weight, WeightError> {
        match (left.shape(), right.shape()) {
            ([rows, inner], [same, columns]) if inner == same => {
                let shape = vec![*rows, *columns];
                Self::combined(Combination::Product, left, right, shape)
            }
            _ => Err(unfit("multiplied", &left, &right)),
        }
    }

    /// Two weights of one shape, multiplied element by element, in f64.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn times(left: Weight, right: Weight) -> Result<Weight, WeightError> {
        if left.shape() != right.shape() {
            return Err(unfit("multiplied element by element", &left, &right));
        }
        let shape = left.shape().to_vec();
        Self::combined(Combination::Times, left, right, shape)
    }

    /// The Kronecker product of two matrices, in f64.
    ///
    /// # Errors
    /// When they are no matrices, or the product is too large.
    pub fn kronecker(left: Weight, right: Weight) -> Result<Weight, WeightError> {
        let ([a, b], [c, d]) = (left.shape(), right.shape()) else {
            return Err(unfit("multiplied as a Kronecker product", &left, &right));
        };
        let too_large = || WeightError::TooLarge { shape: [left.shape(), right.shape()].concat() };
        let shape = vec![a.checked_mul(*c).ok_or_else(too_large)?, b.checked_mul(*d).ok_or_else(too_large)?];
        Self::combined(Combination::Kronecker, left, right, shape)
    }

    /// `base + factor * change`, with rows or columns brought to new lengths behind that if there are any: computed in
    /// f64 and rounded once, to the type of [`WeightExpr::low_rank`]. A row of length zero stays zero.
    ///
    /// # Errors
    /// When the shapes do not fit or the base is not a float.
    pub fn changed(base: Weight, change: Weight, factor: f64, magnitude: Option<Magnitude>) -> Result<Weight, WeightError> {
        let dtype = changed_type(base.dtype())?;
        if base.shape() != change.shape() {
            return Err(unfit("added", &base, &change));
        }
        if let Some(Magnitude { lengths, axis }) = &magnitude
            && (*axis > 1 || base.shape().get(*axis) != Some(&lengths.elements()))
        {
            return Err(unfit("given lengths", &base, lengths));
        }
        let shape = base.shape().to_vec();
        Ok(Self::weight(dtype, shape, Kind::Changed { base, change, factor, magnitude }))
    }

    fn combined(combination: Combination, left: Weight, right: Weight, shape: Vec<usize>) -> Result<Weight, WeightError> {
        if super::byte_length(DType::F64, &shape).is_none() {
            return Err(WeightError::TooLarge { shape });
        }
        Ok(Self::weight(DType::F64, shape, Kind::Combined(combination, left, right)))
    }
}

fn unfit(how: &'static str, left: &Weight, right: &Weight) -> WeightError {
    WeightError::Unfit { how, left: left.shape().to_vec(), right: right.shape().to_vec() }
}

/// The elements of a combination, row-major; the shapes are checked.
pub(super) fn combine(combination: Combination, left: &Weight, right: &Weight) -> Vec<f64> {
    let (a, b) = (left.to_f64(), right.to_f64());
    let width = |weight: &Weight| weight.shape().get(1).copied().unwrap_or(1).max(1);
    match combination {
        Combination::Times => a.iter().zip(&b).map(|(a, b)| a * b).collect(),
        Combination::Product => {
            let (inner, columns) = (width(left), width(right));
            let mut result = Vec::with_capacity(a.len() / inner * columns);
            for row in a.chunks_exact(inner) {
                let mut sums = vec![0.0; columns];
                for (factor, values) in row.iter().zip(b.chunks_exact(columns)) {
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
                }
                result.append(&mut sums);
            }
            result
        }
        Combination::Kronecker => {
            let (outer, inner) = (width(left), width(right));
            let mut result = Vec::with_capacity(a.len() * b.len());
            for factors in a.chunks_exact(outer) {
                for values in b.chunks_exact(inner) {
                    result.extend(factors.iter().flat_map(|factor| values.iter().map(move |value| factor * value)));
                }
            }
            result
        }
    }
}

/// The bytes of [`WeightExpr::changed`].
pub(super) fn evaluate(
    base: &Weight,
    change: &Weight,
    factor: f64,
    magnitude: Option<&Magnitude>,
    result_type: DType,
) -> Vec<u8> {
    let mut sums: Vec<f64> = base.to_f64().iter().zip(change.to_f64()).map(|(base, change)| base + factor * change).collect();
    if let Some(magnitude) = magnitude {
        set_lengths(&mut sums, base.shape(), magnitude);
    }
    encode(sums.into_iter(), result_type)
}

/// Brings rows or columns of `values` to new lengths.
fn set_lengths(values: &mut [f64], shape: &[usize], magnitude: &Magnitude) {
    let count = shape.get(magnitude.axis).copied().unwrap_or(0);
    // An element's index along the axis: its place in units of what lies behind the axis, cut off at the axis.
    let behind: usize = shape.iter().skip(magnitude.axis + 1).product();
    if count == 0 || behind == 0 {
        return;
    }
    let along = |place: usize| place / behind % count;
    let mut squares = vec![0.0; count];
    for (place, value) in values.iter().enumerate() {
        squares[along(place)] += value * value;
    }
    let length = |(square, length): (f64, f64)| if square > 0.0 { length / square.sqrt() } else { 0.0 };
    let factors: Vec<f64> = squares.into_iter().zip(magnitude.lengths.to_f64()).map(length).collect();
    for (place, value) in values.iter_mut().enumerate() {
        *value *= factors[along(place)];
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn weight(values: &[f32], shape: &[usize]) -> Weight {
        Weight::from_f32(values, shape.to_vec()).unwrap()
    }

    #[test]
    fn products_by_hand() {
        let left = weight(&[1.0, 2.0, 3.0, 4.0], &[2, 2]);
        let right = weight(&[0.0, 5.0, 6.0, 7.0], &[2, 2]);
        let product = WeightExpr::product(left.clone(), right.clone()).unwrap();
        assert_eq!((product.dtype(), product.to_f64()), (DType::F64, vec![12.0, 19.0, 24.0, 43.0]));
        assert_eq!(WeightExpr::times(left.clone(), right.clone()).unwrap().to_f64(), [0.0, 10.0, 18.0, 28.0]);
        let kronecker = WeightExpr::kronecker(left.clone(), weight(&[0.0, 5.0, 6.0, 7.0, 1.0, 1.0], &[2, 3])).unwrap();
        assert_eq!(kronecker.shape(), [4, 6]);
        assert_eq!(kronecker.to_f64()[..12], [0.0, 5.0, 6.0, 0.0, 10.0, 12.0, 7.0, 1.0, 1.0, 14.0, 2.0, 2.0]);
        let refused = WeightExpr::product(left, weight(&[1.0; 3], &[3, 1])).unwrap_err();
        assert_eq!(refused.to_string(), "[2, 2] and [3, 1] cannot be multiplied");
    }

    #[test]
    fn lengths_by_hand() {
        // Rows (3, 4) and (0, 0) of the sum.
        let base = weight(&[1.0, 4.0, 0.0, 0.0], &[2, 2]);
        let change = weight(&[4.0, 0.0, 0.0, 0.0], &[2, 2]);
        let rows = Magnitude { lengths: weight(&[10.0, 1.0], &[2]), axis: 0 };
        let changed = WeightExpr::changed(base.clone(), change.clone(), 0.5, Some(rows)).unwrap();
        assert_eq!(changed.to_f32(), [6.0, 8.0, 0.0, 0.0]);
        let columns = Magnitude { lengths: weight(&[1.0, 2.0], &[1, 2]), axis: 1 };
        let changed = WeightExpr::changed(base.clone(), change.clone(), 0.5, Some(columns)).unwrap();
        assert_eq!(changed.to_f32(), [1.0, 2.0, 0.0, 0.0]);
        let unfit = Magnitude { lengths: weight(&[1.0; 3], &[3]), axis: 1 };
        let refused = WeightExpr::changed(base, change, 0.5, Some(unfit)).unwrap_err();
        assert_eq!(refused.to_string(), "[2, 2] and [3] cannot be given lengths");
    }
}

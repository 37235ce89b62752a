//! Counting NaN and infinite weights: one pass over the mapped bytes, nothing decoded, nothing allocated.

use std::collections::BTreeMap;

use dmdx_graph::{DType, Weight};

/// NaN or infinite elements of each tensor that has any.
pub(crate) fn count<'a>(weights: impl Iterator<Item = (&'a String, &'a Weight)>) -> BTreeMap<String, u64> {
    weights.map(|(name, weight)| (name.clone(), of_weight(weight))).filter(|(_, count)| *count > 0).collect()
}

/// NaN or infinite elements of one tensor.
pub(crate) fn of_weight(weight: &Weight) -> u64 {
    weight.with_bytes(|bytes| match weight.dtype() {
        DType::F64 => full_exponents(bytes, |b| u64::from_le_bytes(b) & (0x7ff << 52) == 0x7ff << 52),
        DType::F32 => full_exponents(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
        DType::F16 => full_exponents(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        DType::BF16 => full_exponents(bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
        DType::I64 | DType::I32 | DType::U8 | DType::Bool => 0,
    })
}

/// An exponent of all ones means NaN or infinity in every IEEE format.
fn full_exponents<const N: usize>(bytes: &[u8], full: impl Fn([u8; N]) -> bool) -> u64 {
    let count = |chunk: &[[u8; N]]| u64::from(chunk.iter().map(|b| u32::from(full(*b))).sum::<u32>());
    bytes.as_chunks().0.chunks(1 << 16).map(count).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dmdx_graph::weights::encode;

    use super::*;

    #[test]
    fn every_float_type() {
        let values = [1.0, f64::NAN, -2.0, f64::INFINITY, f64::NEG_INFINITY, 0.0, 6e4];
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let bytes = encode(values.into_iter(), dtype);
            let weight = Weight::owned(bytes.into(), dtype, vec![7]).unwrap();
            assert_eq!(of_weight(&weight), 3, "{}", dtype.name());
            assert_eq!(weight.nonfinite(), 3);
        }
    }
}

//! In which type a weight is stored. Half-precision matrices stay as small as the checkpoint has them, and hold exactly the
//! same numbers; vectors are widened, which costs next to nothing and spares a node each.

use dmdx_graph::weights::WeightExpr;
use dmdx_graph::{DType, Weight};

/// The exponents of float16: its smallest step is 2^-24, its largest numbers lie below 2^16.
const HALF: (i32, i32) = (-24, 15);

/// Engines may take numbers of float32 below this for zero.
const SMALLEST_NORMAL: i32 = -126;

/// A weight as it is written, `2^power` times its numbers.
pub(super) struct Stored {
    pub(super) weight: Weight,
    pub(super) power: i32,
}

impl Stored {
    /// A weight that is computed with in `dtype`: in its own type if that may be stored, as float16 if that holds it, or as
    /// `dtype`.
    pub(super) fn of(weight: Weight, dtype: DType, storage: &[DType]) -> Self {
        let own = weight.dtype();
        let plain = own == dtype || weight.shape().len() > 1 && own == DType::F16 && storage.contains(&own);
        if plain {
            return Self { weight, power: 0 };
        }
        if weight.shape().len() > 1
            && own == DType::BF16
            && dtype == DType::F32
            && storage.contains(&DType::F16)
            && let Some(power) = weight.with_bytes(power_for_half)
        {
            let scaled = match power {
                0 => weight,
                power => WeightExpr::scale(WeightExpr::cast(weight, DType::F32), f64::from(power).exp2()),
            };
            return Self { weight: WeightExpr::cast(scaled, DType::F16), power };
        }
        Self { weight: WeightExpr::cast(weight, dtype), power: 0 }
    }
}

/// The power of two, as near to 0 as can be, by which numbers of bfloat16 have to be multiplied for float16 to hold each of
/// them exactly; `None` if there is none. Eight digits fit everywhere, so only the exponents matter.
fn power_for_half(bytes: &[u8]) -> Option<i32> {
    let mut range: Option<(i32, i32)> = None;
    for pair in bytes.as_chunks::<2>().0 {
        let bits = u16::from_le_bytes(*pair);
        let (exponent, fraction) = (i32::from(bits >> 7 & 0xff), u32::from(bits & 0x7f));
        let (digits, step) = match exponent {
            0xff => return None,
            0 if fraction == 0 => continue,
            0 => (fraction, -133),
            _ => (fraction | 0x80, exponent - 134),
        };
        let (low, high) = (step + digits.trailing_zeros() as i32, step + digits.ilog2() as i32);
        range = Some(range.map_or((low, high), |(least, most)| (least.min(low), most.max(high))));
    }
    let Some((low, high)) = range else { return Some(0) };
    let (least, most) = (HALF.0 - low, HALF.1 - high);
    (least <= most && low >= SMALLEST_NORMAL).then(|| 0.clamp(least, most))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dmdx_graph::{DType, Weight};

    use super::{Stored, power_for_half};

    fn bytes(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }

    /// Every number of bfloat16 alone, and pairs that span as much as float16 can and one more.
    #[test]
    fn scaled_numbers_are_held_exactly_or_not_at_all() {
        for bits in 0..=u16::MAX {
            let value = f32::from_bits(u32::from(bits) << 16);
            let weight = Weight::owned(bytes(&[bits, bits]).into(), DType::BF16, vec![1, 2]).unwrap();
            let stored = Stored::of(weight, DType::F32, &[DType::F16]);
            // Not numbers, and those near the end of float32's range.
            if !value.is_finite() || value != 0.0 && value.abs() < 1e-35 {
                continue;
            }
            assert_eq!(stored.weight.dtype(), DType::F16, "{value:e}");
            let back = f64::from(stored.weight.to_f32()[0]) * f64::from(-stored.power).exp2();
            assert_eq!(back, f64::from(value), "{value:e} with {}", stored.power);
        }
        let power = |exponents: [u16; 2]| power_for_half(&bytes(&exponents.map(|exponent| exponent << 7)));
        // 1 and 2^-24, 2^15 and 2^-24, 2^16 and 2^-23, 2^16 and 2^-24.
        assert_eq!(power([127, 127 - 24]), Some(0));
        assert_eq!(power([127 + 15, 127 - 24]), Some(0));
        assert_eq!(power([127 + 16, 127 - 23]), Some(-1));
        assert_eq!(power([127 + 16, 127 - 24]), None);
        // Zeros fit, infinity and numbers that an engine may flush do not.
        assert_eq!(power_for_half(&bytes(&[0, 0x8000])), Some(0));
        assert_eq!([0x7f80, 1].map(|bits| power_for_half(&bytes(&[bits]))), [None, None]);
    }
}

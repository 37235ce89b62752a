//! Eight-bit floats: files hold them and nothing computes in them. Every one of them is also a 16-bit float, so reading
//! widens them exactly.

use half::f16;

/// A format of eight bits: a sign, then an exponent and a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float8 {
    /// Four bits of exponent; no infinities, `S.1111.111` is NaN (`float8_e4m3fn` of PyTorch, arXiv 2209.05433).
    E4M3,
    /// Five bits of exponent, as IEEE 754 would have it (`float8_e5m2`).
    E5M2,
    /// As E4M3 with a bias of 8; no infinities and no negative zero, whose pattern is NaN (arXiv 2206.02915).
    E4M3Fnuz,
    /// As E5M2 with a bias of 16 and the same exceptions.
    E5M2Fnuz,
}

impl Float8 {
    /// The name used in text, in the manner of [`crate::DType::name`].
    pub fn name(self) -> &'static str {
        match self {
            Float8::E4M3 => "f8_e4m3",
            Float8::E5M2 => "f8_e5m2",
            Float8::E4M3Fnuz => "f8_e4m3fnuz",
            Float8::E5M2Fnuz => "f8_e5m2fnuz",
        }
    }

    /// What a pattern means.
    fn value(self, bits: u8) -> f16 {
        let (fraction_bits, bias) = match self {
            Float8::E4M3 => (3, 7),
            Float8::E5M2 => (2, 15),
            Float8::E4M3Fnuz => (3, 8),
            Float8::E5M2Fnuz => (2, 16),
        };
        let magnitude = bits & 0x7f;
        let (exponent, fraction) = (magnitude >> fraction_bits, magnitude & ((1 << fraction_bits) - 1));
        let special = match self {
            Float8::E4M3 => (magnitude == 0x7f).then_some(f64::NAN),
            Float8::E5M2 if exponent == 31 => Some(if fraction == 0 { f64::INFINITY } else { f64::NAN }),
            Float8::E5M2 => None,
            Float8::E4M3Fnuz | Float8::E5M2Fnuz => (bits == 0x80).then_some(f64::NAN),
        };
        let scaled = |number: u8, power: i32| f64::from(number) * 2f64.powi(power - fraction_bits);
        let value = special.unwrap_or(match exponent {
            0 => scaled(fraction, 1 - bias),
            _ => scaled(fraction + (1 << fraction_bits), i32::from(exponent) - bias),
        });
        f16::from_f64(if bits & 0x80 == 0 { value } else { -value })
    }

    /// The same numbers as 16-bit floats, little-endian.
    pub(super) fn widen(self, bytes: &[u8]) -> Vec<u8> {
        let table: [[u8; 2]; 256] = std::array::from_fn(|bits| self.value(bits as u8).to_le_bytes());
        bytes.iter().flat_map(|bits| table[usize::from(*bits)]).collect()
    }
}

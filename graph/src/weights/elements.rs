//! Elements in their storage types.

use crate::dtype::DType;

/// Bytes of a tensor, or `None` when the product overflows.
pub fn byte_length(dtype: DType, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.size(), |product, &size| product.checked_mul(size))
}

/// Decodes little-endian elements one by one.
pub(super) fn decode<T>(bytes: &[u8], dtype: DType, f: impl Fn(f64) -> T) -> Vec<T> {
    match dtype {
        DType::F64 => bytes.as_chunks().0.iter().map(|b| f(f64::from_le_bytes(*b))).collect(),
        DType::F32 => bytes.as_chunks().0.iter().map(|b| f(f64::from(f32::from_le_bytes(*b)))).collect(),
        DType::F16 => bytes.as_chunks().0.iter().map(|b| f(half::f16::from_le_bytes(*b).to_f64())).collect(),
        DType::BF16 => bytes.as_chunks().0.iter().map(|b| f(half::bf16::from_le_bytes(*b).to_f64())).collect(),
        DType::I64 => bytes.as_chunks().0.iter().map(|b| f(i64::from_le_bytes(*b) as f64)).collect(),
        DType::I32 => bytes.as_chunks().0.iter().map(|b| f(f64::from(i32::from_le_bytes(*b)))).collect(),
        DType::U8 | DType::Bool => bytes.iter().map(|b| f(f64::from(*b))).collect(),
    }
}

/// Encodes elements in a storage type, rounding to nearest even.
pub fn encode(values: impl Iterator<Item = f64>, dtype: DType) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match dtype {
            DType::F64 => bytes.extend(value.to_le_bytes()),
            DType::F32 => bytes.extend((value as f32).to_le_bytes()),
            DType::F16 => bytes.extend(half::f16::from_f64(value).to_le_bytes()),
            DType::BF16 => bytes.extend(half::bf16::from_f64(value).to_le_bytes()),
            DType::I64 => bytes.extend((value as i64).to_le_bytes()),
            DType::I32 => bytes.extend((value as i32).to_le_bytes()),
            DType::U8 | DType::Bool => bytes.push(value as u8),
        }
    }
    bytes
}

//! Changes of element type.

use super::Tensor;
use crate::dtype::DType;

/// Rounds to nearest even into narrower floats; floats become integers by truncation, and everything saturates.
pub(super) fn cast(x: &Tensor, dtype: DType) -> Tensor {
    let round = |v: f64| match dtype {
        DType::F32 => f64::from(v as f32),
        DType::F16 => half::f16::from_f64(v).to_f64(),
        DType::BF16 => half::bf16::from_f64(v).to_f64(),
        DType::F64 | DType::I64 | DType::I32 | DType::U8 | DType::Bool => v,
    };
    let whole = |v: i64| match dtype {
        DType::I32 => v.clamp(i64::from(i32::MIN), i64::from(i32::MAX)),
        DType::U8 => v.clamp(0, 255),
        DType::Bool => i64::from(v != 0),
        DType::I64 | DType::F64 | DType::F32 | DType::F16 | DType::BF16 => v,
    };
    match (x, dtype.is_float()) {
        (Tensor::Float(x), true) => Tensor::Float(x.mapv(round)),
        (Tensor::Int(x), true) => Tensor::Float(x.mapv(|v| round(v as f64))),
        (Tensor::Float(x), false) if dtype == DType::Bool => Tensor::Int(x.mapv(|v| i64::from(v != 0.0))),
        (Tensor::Float(x), false) => Tensor::Int(x.mapv(|v| whole(v as i64))),
        (Tensor::Int(x), false) => Tensor::Int(x.mapv(whole)),
    }
}

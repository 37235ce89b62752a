//! Makers of attributes.

use super::proto::{AttributeProto, AttributeType, TensorProto};

fn named(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind as i32, ..AttributeProto::default() }
}

/// An integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..named(name, AttributeType::Int) }
}

/// A float.
pub fn float(name: &str, value: f64) -> AttributeProto {
    AttributeProto { f: Some(value as f32), ..named(name, AttributeType::Float) }
}

/// A text.
pub fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.into()), ..named(name, AttributeType::String) }
}

/// Integers; sizes of this project are far below the limit of `i64`.
pub fn ints(name: &str, values: impl IntoIterator<Item = usize>) -> AttributeProto {
    let ints = values.into_iter().map(|v| i64::try_from(v).unwrap_or(i64::MAX)).collect();
    AttributeProto { ints, ..named(name, AttributeType::Ints) }
}

/// A tensor.
pub fn tensor(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(value), ..named(name, AttributeType::Tensor) }
}

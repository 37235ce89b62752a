//! Element types of the operations that targets allow.

use crate::onnx::proto::{DataType, NodeProto};

/// The element type of a node's results, `None` where its inputs leave it open.
pub(super) fn result_type(node: &NodeProto, inputs: &[Option<i32>]) -> Result<Option<i32>, String> {
    let at = |i: usize| inputs.get(i).copied().flatten();
    let int64 = Some(DataType::Int64 as i32);
    let needs = |i: usize, wanted: Option<i32>| match at(i) {
        Some(have) if Some(have) != wanted => Err(format!("input {i} has type {have}, {wanted:?} is needed")),
        _ => Ok(()),
    };
    let alike = |range: std::ops::Range<usize>| range.into_iter().try_for_each(|i| needs(i, at(0).or(at(i))));
    let all = inputs.len();
    match node.op_type.as_str() {
        "Shape" => Ok(int64),
        "ArgMax" => Ok(int64),
        "Equal" => alike(0..all).map(|()| Some(DataType::Bool as i32)),
        "Cast" => Ok(node.attribute.iter().find(|a| a.name == "to").and_then(|a| a.i).and_then(|to| i32::try_from(to).ok())),
        "Reshape" | "Expand" | "Gather" | "GatherND" | "Unsqueeze" | "ReduceMean" | "ReduceSum" | "ReduceMax" | "Split"
        | "Trilu" => needs(1, int64).map(|()| at(0)),
        "Slice" => (1..all).try_for_each(|i| needs(i, int64)).map(|()| at(0)),
        "Pad" => needs(1, int64).and_then(|()| needs(2, at(0))).map(|()| at(0)),
        "Resize" => needs(2, Some(DataType::Float as i32)).map(|()| at(0)),
        "Erf" | "Exp" | "Sin" | "Cos" | "Sqrt" | "Sigmoid" | "Tanh" | "Softmax" => match at(0) {
            Some(have) if !is_float(have) => Err(format!("it cannot work on type {have}")),
            dtype => Ok(dtype),
        },
        _ => alike(0..all).map(|()| at(0)),
    }
}

fn is_float(dtype: i32) -> bool {
    let floats = [DataType::Float, DataType::Float16, DataType::Double, DataType::Bfloat16];
    floats.iter().any(|float| *float as i32 == dtype)
}

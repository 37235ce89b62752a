//! `compat`: opset 18, IR 8, f32. Accepted by every ONNX Runtime, TensorRT 10 and tract alike.

use dmdx_graph::{DType, Op, Type};

use super::Target;

/// The default target.
pub const COMPAT: Target = Target {
    name: "compat",
    opset: 18,
    ir_version: 8,
    precision: "float32",
    runtimes: &["tract>=0.23", "onnxruntime>=1.14"],
    legal: &[
        ("Abs", 13),
        ("Add", 14),
        ("ArgMax", 13),
        ("AveragePool", 11),
        ("Cast", 13),
        ("Clip", 13),
        ("Concat", 13),
        ("Conv", 11),
        ("Cos", 7),
        ("Div", 14),
        ("Equal", 13),
        ("Erf", 13),
        ("Exp", 13),
        ("Expand", 13),
        ("Gather", 13),
        ("GatherND", 13),
        ("Gemm", 13),
        ("Identity", 16),
        ("InstanceNormalization", 6),
        ("LayerNormalization", 17),
        ("MatMul", 13),
        ("MaxPool", 12),
        ("Mul", 14),
        ("Neg", 13),
        ("Pad", 18),
        ("Pow", 15),
        ("Range", 11),
        ("ReduceMax", 18),
        ("ReduceMean", 18),
        ("ReduceSum", 13),
        ("Relu", 14),
        ("Reshape", 14),
        ("Resize", 18),
        ("Shape", 15),
        ("Sigmoid", 13),
        ("Sin", 7),
        ("Slice", 13),
        ("Softmax", 13),
        ("Split", 18),
        ("Sqrt", 13),
        ("Squeeze", 13),
        ("Sub", 14),
        ("Tanh", 13),
        ("Transpose", 13),
        ("Trilu", 14),
        ("Unsqueeze", 13),
    ],
    refusal,
};

fn refusal(op: &Op, ty: &Type) -> Option<&'static str> {
    let cast = matches!(op, Op::Cast { .. });
    match ty.dtype {
        DType::F32 | DType::I64 => None,
        DType::I32 | DType::Bool | DType::U8 if cast => None,
        DType::F16 | DType::BF16 | DType::F64 => Some("it works in another precision than float32"),
        DType::I32 | DType::Bool | DType::U8 => Some("it works on integers other than int64"),
    }
}

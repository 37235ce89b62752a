//! `compat`: opset 18, IR 8, f32. Accepted by every ONNX Runtime, TensorRT 10 and tract alike.

use dmdx_graph::{DType, Op, Type};

use super::target::{EngineKind, Presence, Target};
use crate::recipes::{Recipes, activation, attention, dense, norm, position, resample};

/// The default target.
pub const COMPAT: Target = Target {
    name: "compat",
    opset: 18,
    ir_version: 8,
    precisions: &[DType::F32],
    // tract does not know bfloat16.
    stored: &[DType::F16],
    runtimes: &["tract>=0.23", "onnxruntime>=1.14"],
    rewrites: &[],
    recipes: Recipes {
        linear: dense::linear_by_rank,
        attention: attention::by_products,
        group_norm: norm::group_norm_by_instance,
        layer_norm: norm::layer_norm,
        rms_norm: norm::rms_norm_by_powers,
        rope: position::rope_by_parts,
        silu: activation::silu_by_sigmoid,
        gelu: activation::gelu_by_erf,
        gelu_tanh: activation::gelu_by_tanh,
        quick_gelu: activation::quick_gelu_by_sigmoid,
        resize: resample::resize_by_matrices,
    },
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
    // Engines sum in other orders than the f64 interpreter: one operation differs by at most 2e-6 of its largest value, a
    // whole network by a few times that (graph.md, 3.10).
    tolerance: 1e-5,
    engines: &[(EngineKind::Tract, Presence::Required), (EngineKind::OnnxRuntime, Presence::WhereFound)],
};

/// Nothing but a cast may make other integers than int64.
fn refusal(op: &Op, ty: &Type) -> Option<&'static str> {
    let cast = matches!(op, Op::Cast { .. });
    let int64 = ty.dtype.is_float() || ty.dtype == DType::I64;
    (!cast && !int64).then_some("it works on integers other than int64")
}

//! What a target is.

use dmdx_graph::rewrite::Family;
use dmdx_graph::{DType, Op, Type};

use crate::recipes::Recipes;

/// Everything that depends on what an ONNX file is written for. Lowering, the checker, verification and the manifest ask the
/// target and know none by name.
#[derive(Debug)]
pub struct Target {
    /// The name on the command line and in `dmdx.json`.
    pub name: &'static str,
    /// Version of the default operator set.
    pub(crate) opset: i64,
    /// ONNX IR version.
    pub(crate) ir_version: i64,
    /// Floating-point types that its weights and activations may have.
    pub(crate) precisions: &'static [DType],
    /// Narrower types in which it may store matrices that are computed with in one of these.
    pub(crate) stored: &'static [DType],
    /// Runtimes that it is known to run on.
    pub(crate) runtimes: &'static [&'static str],
    /// Families of rewrites that a graph goes through after the neutral ones and before it is lowered, in this order.
    pub(crate) rewrites: &'static [&'static Family],
    /// How operations are written that ONNX can say in several ways.
    pub(crate) recipes: Recipes,
    /// Every ONNX operation that may be written, with the operator set version that defined the form in use; sorted.
    pub(crate) legal: &'static [(&'static str, i64)],
    /// What else it cannot express: why not an operation with a result of that type, or `None`.
    pub(crate) refusal: fn(&Op, &Type) -> Option<&'static str>,
    /// Largest difference from the source that is accepted, relative to the largest value of an output.
    pub(crate) tolerance: f64,
    /// The engines that prove a file equal to its source, in this order.
    pub(crate) engines: &'static [(EngineKind, Presence)],
}

/// An engine that can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    /// Built in.
    Tract,
    /// Found when the program runs.
    OnnxRuntime,
}

/// Whether a target may be verified without an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It may not.
    Required,
    /// It may: the engine takes part where it is found.
    WhereFound,
}

impl Target {
    /// Why the target cannot express an operation with a result of that type, or `None`.
    pub(crate) fn refuses(&self, op: &Op, ty: &Type) -> Option<String> {
        if ty.dtype.is_float() && !self.precisions.contains(&ty.dtype) {
            return Some(format!("it works in another precision than {}", self.precision()));
        }
        (self.refusal)(op, ty).map(str::to_string)
    }

    /// The precisions by NumPy's names, comma separated.
    pub(crate) fn precision(&self) -> String {
        self.precisions.iter().map(|dtype| numpy_name(*dtype)).collect::<Vec<_>>().join(", ")
    }
}

fn numpy_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "float64",
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::I64 => "int64",
        DType::I32 => "int32",
        DType::U8 => "uint8",
        DType::Bool => "bool",
    }
}

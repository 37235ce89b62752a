//! Where ONNX has several ways to say an operation.

use dmdx_graph::DType;
use dmdx_graph::ir::Interpolation;

use super::builder::Builder;
use super::site::Site;
use crate::error::Result;

/// A function of one tensor: its name and element type in, the result's name out.
pub(crate) type Activation = fn(&mut Builder<'_>, &str, DType) -> String;

/// One way for each operation that has several; a target owns its choice. Every other operation is written in the one way
/// that its file has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipes {
    /// [`Op::Linear`](dmdx_graph::Op::Linear).
    pub(crate) linear: fn(&mut Builder<'_>, Site<'_>) -> Result<String>,
    /// [`Op::Sdpa`](dmdx_graph::Op::Sdpa) with its scale and whether it is causal.
    pub(crate) attention: fn(&mut Builder<'_>, Site<'_>, f64, bool) -> Result<String>,
    /// [`Op::GroupNorm`](dmdx_graph::Op::GroupNorm) with its groups and eps; the activation follows.
    pub(crate) group_norm: fn(&mut Builder<'_>, Site<'_>, usize, f64) -> Result<String>,
    /// [`Op::LayerNorm`](dmdx_graph::Op::LayerNorm) with its eps.
    pub(crate) layer_norm: fn(&mut Builder<'_>, Site<'_>, f64) -> Result<String>,
    /// [`Op::RmsNorm`](dmdx_graph::Op::RmsNorm) with its eps.
    pub(crate) rms_norm: fn(&mut Builder<'_>, Site<'_>, f64) -> Result<String>,
    /// [`Op::Rope`](dmdx_graph::Op::Rope) with whether it is interleaved.
    pub(crate) rope: fn(&mut Builder<'_>, Site<'_>, bool) -> Result<String>,
    /// [`Op::Silu`](dmdx_graph::Op::Silu), alone and after a normalisation.
    pub(crate) silu: Activation,
    /// The exact [`Op::Gelu`](dmdx_graph::Op::Gelu), alone and as the gate of [`Op::Geglu`](dmdx_graph::Op::Geglu).
    pub(crate) gelu: Activation,
    /// The approximated [`Op::Gelu`](dmdx_graph::Op::Gelu).
    pub(crate) gelu_tanh: Activation,
    /// [`Op::QuickGelu`](dmdx_graph::Op::QuickGelu).
    pub(crate) quick_gelu: Activation,
    /// [`Op::Resize`](dmdx_graph::Op::Resize).
    pub(crate) resize: fn(&mut Builder<'_>, Site<'_>, Interpolation) -> Result<String>,
}

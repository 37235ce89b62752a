//! Which attributes of an operation have rules of their own: dimensions must be declared, numbers finite.

use super::dim::Dim;
use super::op::Op;
use super::types::Shape;

/// The parts of an operation's attributes that have rules of their own.
#[derive(Default)]
pub(crate) struct Attributes<'a> {
    /// A whole shape; its dimensions are among `dims`.
    pub shape: Option<&'a Shape>,
    /// Every dimension expression.
    pub dims: Vec<&'a Dim>,
    /// Every floating-point number.
    pub numbers: Vec<f64>,
}

/// Lists them.
pub(crate) fn attributes(op: &Op) -> Attributes<'_> {
    let numbers = |numbers: &[f64]| Attributes { numbers: numbers.to_vec(), ..Attributes::default() };
    let dims = |dims| Attributes { dims, ..Attributes::default() };
    match op {
        Op::Reshape { shape } | Op::Expand { shape } => {
            Attributes { shape: Some(shape), dims: shape.0.iter().collect(), numbers: Vec::new() }
        }
        Op::Slice { axis: _, start, length } => dims(vec![start, length]),
        Op::BucketBias { max_distance: _, bidirectional: _, length } => dims(vec![length]),
        Op::CropTable { side: _, height, width } | Op::Resize { mode: _, height, width } => dims(vec![height, width]),
        Op::SincosTable3d { dim: _, frames, height, width, spatial_scale, temporal_scale } => {
            Attributes { shape: None, dims: vec![frames, height, width], numbers: vec![*spatial_scale, *temporal_scale] }
        }
        Op::GroupNorm { groups: _, eps, silu: _ } | Op::LayerNorm { eps } | Op::RmsNorm { eps } => numbers(&[*eps]),
        Op::Sdpa { scale, causal: _ } => numbers(&[*scale]),
        Op::Clamp { min, max } => numbers(&[*min, *max]),
        Op::Affine { mul, add } => numbers(&[*mul, *add]),
        Op::Pad { pads: _, value } => numbers(&[*value]),
        Op::TimestepEmbed { dim: _, flip_sin_to_cos: _, freq_shift, max_period } => numbers(&[*freq_shift, *max_period]),
        Op::Linear
        | Op::MatMul { .. }
        | Op::Embedding
        | Op::Conv2d { .. }
        | Op::Conv3d { .. }
        | Op::MaxPool2d { .. }
        | Op::AvgPool2d { .. }
        | Op::Rope { .. }
        | Op::Relu
        | Op::RelPos2d { .. }
        | Op::Silu
        | Op::Gelu { .. }
        | Op::QuickGelu
        | Op::Geglu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Softmax { .. }
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Neg
        | Op::Exp
        | Op::Sqrt
        | Op::Sin
        | Op::Cos
        | Op::Permute { .. }
        | Op::Concat { .. }
        | Op::WindowPartition { .. }
        | Op::WindowMerge { .. }
        | Op::UpNearest { .. }
        | Op::PoolToken { .. }
        | Op::Reduce { .. }
        | Op::Cast { .. } => Attributes::default(),
    }
}

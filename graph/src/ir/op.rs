//! The closed set of operations. Every op has one result; an exhaustive `match` without a wildcard arm in infer,
//! interpret, compile and lower makes the compiler list what a new op still needs.

use serde::{Deserialize, Serialize};

use super::dim::Dim;
use super::types::Shape;
use crate::dtype::DType;

/// How CLIP picks the token that stands for the whole text (`transformers` CLIPTextTransformer.forward).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolRule {
    /// The first position of the largest id: configurations with the historical `eos_token_id == 2`.
    LargestId,
    /// The first position whose id is this one (position 0 if there is none).
    FirstEqual(i64),
}

/// How [`Op::Resize`] weighs its neighbours; as `torch.nn.functional.interpolate` with `align_corners=False` and without
/// antialiasing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Two neighbours, linearly.
    Bilinear,
    /// Four neighbours, by the cubic convolution with `a = -0.75`.
    Bicubic,
}

/// What [`Op::Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ReduceKind {
    Mean,
    Sum,
    Max,
}

/// One operation. Inputs are given in the order written in each variant's docstring; `?` marks an optional one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `x [.., i], weight [o, i], bias? [o]` → `[.., o]`.
    Linear,
    /// `a [.., m, k], b [.., k, n]` → `[.., m, n]`, batch dimensions broadcast.
    MatMul {
        /// `a` is given as `[.., k, m]`.
        transpose_a: bool,
        /// `b` is given as `[.., n, k]`.
        transpose_b: bool,
    },
    /// `ids [..] (i64), table [v, d]` → `[.., d]`.
    Embedding,
    /// `x [n, c, h, w], weight [o, c/groups, kh, kw], bias? [o]` → `[n, o, h', w']`, zero padding.
    Conv2d {
        /// Vertical, horizontal.
        stride: [usize; 2],
        /// Top, left, bottom, right.
        padding: [usize; 4],
        /// Vertical, horizontal.
        dilation: [usize; 2],
        /// Channel groups.
        groups: usize,
    },
    /// `x [n, c, f, h, w], weight [o, c/groups, kf, kh, kw], bias? [o]` → `[n, o, f', h', w']`, zero padding.
    Conv3d {
        /// In time, vertical, horizontal.
        stride: [usize; 3],
        /// Front, top, left, back, bottom, right.
        padding: [usize; 6],
        /// In time, vertical, horizontal.
        dilation: [usize; 3],
        /// Channel groups.
        groups: usize,
    },
    /// `x [n, c, h, w]` → `[n, c, h', w']`: the largest element of each window; padding never wins.
    MaxPool2d {
        /// Vertical, horizontal.
        kernel: [usize; 2],
        /// Vertical, horizontal.
        stride: [usize; 2],
        /// Top, left, bottom, right; each less than the kernel.
        padding: [usize; 4],
    },
    /// `x [n, c, h, w]` → `[n, c, h', w']`: the mean of each window.
    AvgPool2d {
        /// Vertical, horizontal.
        kernel: [usize; 2],
        /// Vertical, horizontal.
        stride: [usize; 2],
        /// Top, left, bottom, right; each less than the kernel.
        padding: [usize; 4],
        /// Divides by the whole kernel, padding counted as zeros (torch's `count_include_pad`).
        count_padding: bool,
    },
    /// `x [n, c, ..], weight [c], bias [c]` → same; statistics over each group of channels and all positions.
    GroupNorm {
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        eps: f64,
        /// Applies `y * sigmoid(y)` afterwards.
        silu: bool,
    },
    /// `x [.., c], weight? [c], bias? [c]` → same; statistics over the last dimension.
    LayerNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// `x [.., c], weight? [c]` → same: `x / sqrt(mean(x²) + eps) * weight` over the last dimension.
    RmsNorm {
        /// Added to the mean square.
        eps: f64,
    },
    /// `q [b, h, s, d], k [b, h, t, d], v [b, h, t, e], bias? (broadcasts to [b, h, s, t])` → `[b, h, s, e]`:
    /// `softmax(scale * q kᵀ + bias) v`.
    Sdpa {
        /// Multiplies `q kᵀ`.
        scale: f64,
        /// Position `i` of `q` sees positions `0..=i` of `k` only (needs `s == t`).
        causal: bool,
    },
    /// `q [b, h, height*width, d], rel_h [2*height-1, d], rel_w [2*width-1, d]` → `[b, h, height*width, height*width]`:
    /// SAM's decomposed relative position bias (`SamVisionAttention.get_decomposed_rel_pos`).
    RelPos2d {
        /// Rows of the token grid.
        height: usize,
        /// Columns of the token grid.
        width: usize,
    },
    /// `x [.., s, d], cos [s, d], sin [s, d]` → same: `x * cos + rotated(x) * sin`, rotary position embedding.
    Rope {
        /// Rotates neighbours, `(-x1, x0, -x3, x2, ..)`; otherwise the halves, `(-x[d/2..], x[..d/2])`.
        interleaved: bool,
    },
    /// `table [buckets, h]` → `[1, h, length, length]`: T5's relative attention bias (`T5Attention.compute_bias`), row
    /// `query`, column `key`.
    BucketBias {
        /// Distances at and beyond this one share the last bucket.
        max_distance: usize,
        /// Keys after the query have buckets of their own (encoders).
        bidirectional: bool,
        /// Tokens.
        length: Dim,
    },
    /// `table [1, side*side, c]` → `[1, height*width, c]`: the middle of a square table of positions, as
    /// `PatchEmbed.cropped_pos_embed` of diffusers cuts it, from row `(side - height) / 2` rounded down.
    CropTable {
        /// Side of the table.
        side: usize,
        /// Rows of the result.
        height: Dim,
        /// Columns of the result.
        width: Dim,
    },
    /// No input → `[1, frames*height*width, dim]`: the sines and cosines of diffusers' `get_3d_sincos_pos_embed`, a quarter
    /// of them for time.
    SincosTable3d {
        /// Width of the embedding, a multiple of 16.
        dim: usize,
        /// Frames of the token grid.
        frames: Dim,
        /// Rows of the token grid.
        height: Dim,
        /// Columns of the token grid.
        width: Dim,
        /// Divides rows and columns.
        spatial_scale: f64,
        /// Divides frames.
        temporal_scale: f64,
    },
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`.
    Silu,
    /// The Gaussian error linear unit, exact (erf) or by its tanh approximation.
    Gelu {
        /// Use `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x³)))`.
        tanh: bool,
    },
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `x [.., 2n]` → `[.., n]`: first half times the exact GELU of the second half (diffusers' GEGLU).
    Geglu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// Softmax over one axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// `a + b` with NumPy broadcasting.
    Add,
    /// `a - b` with NumPy broadcasting.
    Sub,
    /// `a * b` with NumPy broadcasting.
    Mul,
    /// `a / b` with NumPy broadcasting.
    Div,
    /// `-x`.
    Neg,
    /// `exp(x)`.
    Exp,
    /// Square root.
    Sqrt,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Limits every element to `min..=max`.
    Clamp {
        /// Lower limit.
        min: f64,
        /// Upper limit.
        max: f64,
    },
    /// `x * mul + add` with scalars.
    Affine {
        /// Factor.
        mul: f64,
        /// Offset, added after the multiplication.
        add: f64,
    },
    /// Same elements in row-major order, another shape.
    Reshape {
        /// The new shape.
        shape: Shape,
    },
    /// Reorders dimensions: dimension `i` of the result is dimension `axes[i]` of the input.
    Permute {
        /// The order.
        axes: Vec<usize>,
    },
    /// Joins any number of inputs along one axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// `length` elements from `start` along one axis.
    Slice {
        /// The axis.
        axis: usize,
        /// First element.
        start: super::Dim,
        /// Number of elements.
        length: super::Dim,
    },
    /// Surrounds with a constant.
    Pad {
        /// Before and after, per dimension.
        pads: Vec<[usize; 2]>,
        /// The constant.
        value: f64,
    },
    /// Broadcasts to a shape (dimensions of size 1, or missing in front, are repeated).
    Expand {
        /// The new shape.
        shape: Shape,
    },
    /// `x [b, h, w, c]` → `[b*nh*nw, window, window, c]`, zero-padded below and to the right (SAM).
    WindowPartition {
        /// Side of a window.
        window: usize,
    },
    /// `x [b*nh*nw, window, window, c]` → `[b, height, width, c]`: the inverse, padding dropped.
    WindowMerge {
        /// Side of a window.
        window: usize,
        /// Rows of the result.
        height: usize,
        /// Columns of the result.
        width: usize,
    },
    /// `x [n, c, h, w]` → `[n, c, factor*h, factor*w]`, each element repeated.
    UpNearest {
        /// The factor.
        factor: usize,
    },
    /// `x [n, c, h, w]` → `[n, c, height, width]`.
    Resize {
        /// How neighbours are weighed.
        mode: Interpolation,
        /// Rows of the result.
        height: Dim,
        /// Columns of the result.
        width: Dim,
    },
    /// `t [n]` → `[n, dim]`: sinusoidal embedding, angles computed in f32 as diffusers' `get_timestep_embedding` does.
    TimestepEmbed {
        /// Width of the embedding, even.
        dim: usize,
        /// Cosines first.
        flip_sin_to_cos: bool,
        /// Subtracted from `dim / 2` in the exponent's denominator.
        freq_shift: f64,
        /// Longest period.
        max_period: f64,
    },
    /// `hidden [b, s, d], ids [b, s] (i64)` → `[b, d]`: the token that stands for the text.
    PoolToken {
        /// How it is found.
        rule: PoolRule,
    },
    /// Reduces over axes.
    Reduce {
        /// What is computed.
        kind: ReduceKind,
        /// The axes, ascending.
        axes: Vec<usize>,
        /// Leaves size-1 dimensions behind.
        keep_dims: bool,
    },
    /// Changes the element type.
    Cast {
        /// The new type.
        dtype: DType,
    },
}

impl Op {
    /// The name used in text and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Linear => "linear",
            Op::MatMul { .. } => "mat_mul",
            Op::Embedding => "embedding",
            Op::Conv2d { .. } => "conv2d",
            Op::Conv3d { .. } => "conv3d",
            Op::MaxPool2d { .. } => "max_pool2d",
            Op::AvgPool2d { .. } => "avg_pool2d",
            Op::GroupNorm { .. } => "group_norm",
            Op::LayerNorm { .. } => "layer_norm",
            Op::RmsNorm { .. } => "rms_norm",
            Op::Sdpa { .. } => "sdpa",
            Op::RelPos2d { .. } => "rel_pos2d",
            Op::Rope { .. } => "rope",
            Op::BucketBias { .. } => "bucket_bias",
            Op::CropTable { .. } => "crop_table",
            Op::SincosTable3d { .. } => "sincos_table3d",
            Op::Relu => "relu",
            Op::Silu => "silu",
            Op::Gelu { .. } => "gelu",
            Op::QuickGelu => "quick_gelu",
            Op::Geglu => "geglu",
            Op::Sigmoid => "sigmoid",
            Op::Tanh => "tanh",
            Op::Softmax { .. } => "softmax",
            Op::Add => "add",
            Op::Sub => "sub",
            Op::Mul => "mul",
            Op::Div => "div",
            Op::Neg => "neg",
            Op::Exp => "exp",
            Op::Sqrt => "sqrt",
            Op::Sin => "sin",
            Op::Cos => "cos",
            Op::Clamp { .. } => "clamp",
            Op::Affine { .. } => "affine",
            Op::Reshape { .. } => "reshape",
            Op::Permute { .. } => "permute",
            Op::Concat { .. } => "concat",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Expand { .. } => "expand",
            Op::WindowPartition { .. } => "window_partition",
            Op::WindowMerge { .. } => "window_merge",
            Op::UpNearest { .. } => "up_nearest",
            Op::Resize { .. } => "resize",
            Op::TimestepEmbed { .. } => "timestep_embed",
            Op::PoolToken { .. } => "pool_token",
            Op::Reduce { .. } => "reduce",
            Op::Cast { .. } => "cast",
        }
    }
}

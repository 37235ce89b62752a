//! `SamVisionEncoder`: a vision transformer with windowed attention and relative positions, and a convolutional neck.

use dmdx_graph::{Dim, Op, ValueId};

use super::config::SamConfig;
use crate::arch::scope::{Conv, Scope};
use crate::error::Result;

/// Fixed in `SamLayerNorm`, which the neck uses.
const NECK_NORM_EPS: f64 = 1e-6;

/// `pixels [b, c, size, size]` → `[b, o, grid, grid]`.
pub(super) fn vision_encoder(m: &mut Scope<'_>, pixels: ValueId, sam: &SamConfig) -> Result<ValueId> {
    let grid = sam.grid();
    let mut x = m.module("patch_embed", |m| {
        let x = m.conv2d("projection", pixels, sam.hidden_size, Conv::patches(sam.patch_size, true))?;
        m.permute(x, &[0, 2, 3, 1])
    })?;
    if sam.use_abs_pos {
        let positions = m.param("pos_embed", &[1, grid, grid, sam.hidden_size])?;
        x = m.add(x, positions)?;
    }
    for i in 0..sam.num_hidden_layers {
        x = m.module(&format!("layers.{i}"), |m| layer(m, x, sam, sam.window(i)))?;
    }
    m.module("neck", |m| {
        let x = m.permute(x, &[0, 3, 1, 2])?;
        let x = m.conv2d("conv1", x, sam.output_channels, Conv { bias: false, ..Conv::same(1) })?;
        let x = channels_first_norm(m, "layer_norm1", x)?;
        let x = m.conv2d("conv2", x, sam.output_channels, Conv { bias: false, ..Conv::same(3) })?;
        channels_first_norm(m, "layer_norm2", x)
    })
}

/// `SamVisionLayer`; `window` 0 attends globally.
fn layer(m: &mut Scope<'_>, x: ValueId, sam: &SamConfig, window: usize) -> Result<ValueId> {
    let grid = sam.grid();
    let mut hidden = m.layer_norm("layer_norm1", x, sam.layer_norm_eps)?;
    if window > 0 {
        hidden = m.op(Op::WindowPartition { window }, &[hidden])?;
    }
    hidden = m.module("attn", |m| attention(m, hidden, sam))?;
    if window > 0 {
        hidden = m.op(Op::WindowMerge { window, height: grid, width: grid }, &[hidden])?;
    }
    let x = m.add(x, hidden)?;
    let normed = m.layer_norm("layer_norm2", x, sam.layer_norm_eps)?;
    let fed = m.module("mlp", |m| {
        let wide = m.linear("lin1", normed, sam.mlp_dim, true)?;
        let wide = m.module("act", |m| m.op(sam.activation.clone(), &[wide]))?;
        m.linear("lin2", wide, sam.hidden_size, true)
    })?;
    m.add(x, fed)
}

/// `SamVisionAttention` of `x [n, side, side, c]`: every position to every other of the same picture or window.
fn attention(m: &mut Scope<'_>, x: ValueId, sam: &SamConfig) -> Result<ValueId> {
    let (dims, side) = (m.shape(x).0, m.size(x, 1));
    let (width, heads) = (sam.hidden_size, sam.num_attention_heads);
    let qkv = m.linear("qkv", x, 3 * width, sam.qkv_bias)?;
    let tokens = [dims[0].clone(), (side * side).into(), (3 * width).into()];
    let qkv = m.reshape(qkv, tokens)?;
    let mut inputs = Vec::new();
    for i in 0..3 {
        let part = m.op(Op::Slice { axis: 2, start: Dim::constant(i * width), length: Dim::constant(width) }, &[qkv])?;
        inputs.push(m.split_heads(part, heads)?);
    }
    if sam.use_rel_pos {
        let rel_h = m.param("rel_pos_h", &[2 * side - 1, width / heads])?;
        let rel_w = m.param("rel_pos_w", &[2 * side - 1, width / heads])?;
        inputs.push(m.op(Op::RelPos2d { height: side, width: side }, &[inputs[0], rel_h, rel_w])?);
    }
    let x = m.sdpa(&inputs, false)?;
    let x = m.merge_heads(x)?;
    let x = m.reshape(x, dims)?;
    m.linear("proj", x, width, true)
}

/// `SamLayerNorm` with `data_format="channels_first"`.
fn channels_first_norm(m: &mut Scope<'_>, name: &str, x: ValueId) -> Result<ValueId> {
    let channels = m.size(x, 1);
    m.module(name, |m| {
        let x = m.permute(x, &[0, 2, 3, 1])?;
        let inputs = [x, m.param("weight", &[channels])?, m.param("bias", &[channels])?];
        let x = m.op(Op::LayerNorm { eps: NECK_NORM_EPS }, &inputs)?;
        m.permute(x, &[0, 3, 1, 2])
    })
}

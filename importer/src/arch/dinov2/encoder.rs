//! `Dinov2Embeddings` and `Dinov2Encoder`.

use dmdx_graph::ir::Interpolation;
use dmdx_graph::{Op, ValueId};

use super::config::{Dinov2Config, FeedForward};
use crate::arch::scope::{Conv, Scope};
use crate::error::Result;

/// `pixels [b, c, patch*h, patch*w]` → `[b, 1 + h*w, d]`.
pub(super) fn embeddings(m: &mut Scope<'_>, pixels: ValueId, dino: &Dinov2Config) -> Result<ValueId> {
    let width = dino.hidden_size;
    let grid = m.child("patch_embeddings").conv2d("projection", pixels, width, Conv::patches(dino.patch_size, true))?;
    let patches = m.flatten_image(grid)?;
    m.mark("patch_embeddings", patches);
    let class = m.param("cls_token", &[1, 1, width])?;
    let class = m.expand(class, [m.dim(pixels, 0), 1.into(), width.into()])?;
    let tokens = m.concat(1, &[class, patches])?;
    let positions = positions(m, grid, dino)?;
    m.add(tokens, positions)
}

/// The trained table, interpolated to the picture's grid. On the trained grid every weight of the interpolation is 0 or 1,
/// which leaves the table as it is, so that one graph serves all sizes.
fn positions(m: &mut Scope<'_>, grid: ValueId, dino: &Dinov2Config) -> Result<ValueId> {
    let (side, width) = (dino.grid(), dino.hidden_size);
    let table = m.param("position_embeddings", &[1, 1 + side * side, width])?;
    let class = m.slice(table, 1, 0, 1)?;
    let patches = m.slice(table, 1, 1, side * side)?;
    let patches = m.reshape(patches, [1.into(), side.into(), side.into(), width.into()])?;
    let patches = m.permute(patches, &[0, 3, 1, 2])?;
    let (height, columns) = (m.dim(grid, 2), m.dim(grid, 3));
    let patches = m.op(Op::Resize { mode: Interpolation::Bicubic, height, width: columns }, &[patches])?;
    let patches = m.flatten_image(patches)?;
    m.concat(1, &[class, patches])
}

/// All layers at `encoder`.
pub(super) fn encoder(m: &mut Scope<'_>, x: ValueId, dino: &Dinov2Config) -> Result<ValueId> {
    let mut x = x;
    for i in 0..dino.num_hidden_layers {
        x = m.module(&format!("layer.{i}"), |m| layer(m, x, dino))?;
    }
    Ok(x)
}

/// `Dinov2Layer`: pre-normed, each branch scaled per channel.
fn layer(m: &mut Scope<'_>, x: ValueId, dino: &Dinov2Config) -> Result<ValueId> {
    let normed = m.layer_norm("norm1", x, dino.layer_norm_eps)?;
    let attended = m.module("attention", |m| {
        let mut attention = m.child("attention");
        let [q, k, v] = ["query", "key", "value"].map(|name| attention.linear(name, normed, dino.hidden_size, dino.qkv_bias));
        let attended = attention.attention([q?, k?, v?], dino.num_attention_heads, false)?;
        attention.mark_self(attended);
        m.module("output", |m| m.linear("dense", attended, dino.hidden_size, true))
    })?;
    let attended = layer_scale(m, "layer_scale1", attended)?;
    let x = m.add(attended, x)?;
    let normed = m.layer_norm("norm2", x, dino.layer_norm_eps)?;
    let fed = m.module("mlp", |m| feed_forward(m, normed, dino))?;
    let fed = layer_scale(m, "layer_scale2", fed)?;
    m.add(fed, x)
}

fn layer_scale(m: &mut Scope<'_>, name: &str, x: ValueId) -> Result<ValueId> {
    let width = m.size(x, 2);
    m.module(name, |m| {
        let factors = m.param("lambda1", &[width])?;
        m.op(Op::Mul, &[x, factors])
    })
}

/// `Dinov2MLP` or `Dinov2SwiGLUFFN`.
fn feed_forward(m: &mut Scope<'_>, x: ValueId, dino: &Dinov2Config) -> Result<ValueId> {
    match &dino.feed_forward {
        FeedForward::Mlp { width, activation } => {
            let wide = m.linear("fc1", x, *width, true)?;
            let wide = m.module("activation", |m| m.op(activation.clone(), &[wide]))?;
            m.linear("fc2", wide, dino.hidden_size, true)
        }
        FeedForward::SwiGlu { width } => {
            let both = m.linear("weights_in", x, 2 * width, true)?;
            let gate = m.slice(both, 2, 0, *width)?;
            let gate = m.op(Op::Silu, &[gate])?;
            let wide = m.slice(both, 2, *width, *width)?;
            let wide = m.op(Op::Mul, &[gate, wide])?;
            m.linear("weights_out", wide, dino.hidden_size, true)
        }
    }
}

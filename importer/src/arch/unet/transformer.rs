//! `Transformer2DModel` with `BasicTransformerBlock`s: attention of a feature map to itself and to the text.

use dmdx_graph::{Op, ValueId};

use crate::arch::scope::{Conv, Scope};
use crate::error::Result;

/// Fixed in `Transformer2DModel`.
const GROUP_NORM_EPS: f64 = 1e-6;
/// Fixed in `BasicTransformerBlock`.
const LAYER_NORM_EPS: f64 = 1e-5;

/// What the transformers of one block have in common.
#[derive(Clone, Copy)]
pub(super) struct TransformerStyle {
    pub heads: usize,
    pub groups: usize,
    /// Projections are linear layers instead of 1x1 convolutions.
    pub linear_projection: bool,
    pub only_cross_attention: bool,
}

/// `x [b, c, h, w]` attends to itself and to `text [b, s, d]`, `depth` times.
pub(super) fn transformer(
    scope: &mut Scope<'_>,
    name: &str,
    x: ValueId,
    text: ValueId,
    depth: usize,
    style: TransformerStyle,
) -> Result<ValueId> {
    let channels = scope.size(x, 1);
    scope.module(name, |m| {
        let normed = m.group_norm("norm", x, style.groups, GROUP_NORM_EPS)?;
        let mut hidden = if style.linear_projection {
            let tokens = m.flatten_image(normed)?;
            m.linear("proj_in", tokens, channels, true)?
        } else {
            let projected = m.conv2d("proj_in", normed, channels, Conv::same(1))?;
            m.flatten_image(projected)?
        };
        for i in 0..depth {
            hidden = block(m, &format!("transformer_blocks.{i}"), hidden, text, style)?;
        }
        let hidden = if style.linear_projection {
            let hidden = m.linear("proj_out", hidden, channels, true)?;
            m.unflatten_image(hidden, x)?
        } else {
            let hidden = m.unflatten_image(hidden, x)?;
            m.conv2d("proj_out", hidden, channels, Conv::same(1))?
        };
        m.add(hidden, x)
    })
}

fn block(scope: &mut Scope<'_>, name: &str, x: ValueId, text: ValueId, style: TransformerStyle) -> Result<ValueId> {
    scope.module(name, |m| {
        let normed = m.layer_norm("norm1", x, LAYER_NORM_EPS)?;
        let context = if style.only_cross_attention { text } else { normed };
        let attended = attention(m, "attn1", normed, context, style.heads)?;
        let x = m.add(attended, x)?;
        let normed = m.layer_norm("norm2", x, LAYER_NORM_EPS)?;
        let attended = attention(m, "attn2", normed, text, style.heads)?;
        let x = m.add(attended, x)?;
        let normed = m.layer_norm("norm3", x, LAYER_NORM_EPS)?;
        let fed = feed_forward(m, normed)?;
        m.add(fed, x)
    })
}

fn attention(scope: &mut Scope<'_>, name: &str, x: ValueId, context: ValueId, heads: usize) -> Result<ValueId> {
    let width = scope.size(x, 2);
    scope.module(name, |m| {
        let q = m.linear("to_q", x, width, false)?;
        let k = m.linear("to_k", context, width, false)?;
        let v = m.linear("to_v", context, width, false)?;
        let x = m.attention([q, k, v], heads, false)?;
        m.linear("to_out.0", x, width, true)
    })
}

/// `FeedForward` with GEGLU: four times as wide inside.
fn feed_forward(scope: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let width = scope.size(x, 2);
    scope.module("ff", |m| {
        let x = m.module("net.0", |m| {
            let x = m.linear("proj", x, 8 * width, true)?;
            m.op(Op::Geglu, &[x])
        })?;
        m.linear("net.2", x, width, true)
    })
}

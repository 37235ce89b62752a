//! `SamTwoWayTransformer`: tokens attend to the picture and the picture to the tokens.

use dmdx_graph::{Dim, Op, ValueId};

use super::whole_config::WholeConfig;
use crate::arch::scope::Scope;
use crate::error::Result;

/// Fixed by `torch.nn.LayerNorm`'s default.
const FINAL_NORM_EPS: f64 = 1e-5;

/// Tokens and picture, `[b, p, t, c]` and `[b*p, 1, positions, c]`.
pub(super) struct Streams {
    /// The tokens.
    pub tokens: ValueId,
    /// The picture.
    pub image: ValueId,
}

/// Both streams through all layers; what they were at first, and the picture's `positions`, are added before every
/// attention but the first.
pub(super) fn two_way(m: &mut Scope<'_>, input: &Streams, positions: ValueId, sam: &WholeConfig) -> Result<Streams> {
    let start = input.tokens;
    let mut streams = Streams { tokens: start, image: input.image };
    for i in 0..sam.num_hidden_layers {
        let mut layer = m.child(&format!("layers.{i}"));
        streams = two_way_layer(&mut layer, &streams, start, positions, sam, i == 0)?;
        layer.mark_self(streams.tokens);
    }
    let query = m.add(streams.tokens, start)?;
    let key = m.add(streams.image, positions)?;
    let narrow = sam.hidden_size / sam.attention_downsample_rate;
    let attended = attention(m, "final_attn_token_to_image", [query, key, streams.image], narrow, sam)?;
    let tokens = m.add(streams.tokens, attended)?;
    let tokens = m.layer_norm("layer_norm_final_attn", tokens, FINAL_NORM_EPS)?;
    Ok(Streams { tokens, image: streams.image })
}

fn two_way_layer(
    m: &mut Scope<'_>,
    input: &Streams,
    start: ValueId,
    positions: ValueId,
    sam: &WholeConfig,
    first: bool,
) -> Result<Streams> {
    let (eps, narrow) = (sam.layer_norm_eps, sam.hidden_size / sam.attention_downsample_rate);
    let Streams { mut tokens, mut image } = *input;
    if first {
        tokens = attention(m, "self_attn", [tokens; 3], sam.hidden_size, sam)?;
    } else {
        let query = m.add(tokens, start)?;
        let attended = attention(m, "self_attn", [query, query, tokens], sam.hidden_size, sam)?;
        tokens = m.add(tokens, attended)?;
    }
    tokens = m.layer_norm("layer_norm1", tokens, eps)?;

    let query = m.add(tokens, start)?;
    let key = m.add(image, positions)?;
    let attended = attention(m, "cross_attn_token_to_image", [query, key, image], narrow, sam)?;
    tokens = m.add(tokens, attended)?;
    tokens = m.layer_norm("layer_norm2", tokens, eps)?;

    let fed = m.module("mlp", |m| {
        let wide = m.linear("lin1", tokens, sam.mlp_dim, true)?;
        let wide = m.module("act", |m| m.op(sam.activation.clone(), &[wide]))?;
        m.linear("lin2", wide, sam.hidden_size, true)
    })?;
    tokens = m.add(tokens, fed)?;
    tokens = m.layer_norm("layer_norm3", tokens, eps)?;

    let query = m.add(tokens, start)?;
    let attended = attention(m, "cross_attn_image_to_token", [key, query, tokens], narrow, sam)?;
    image = m.add(image, attended)?;
    image = m.layer_norm("layer_norm4", image, eps)?;
    Ok(Streams { tokens, image })
}

/// `SamAttention` of the first value over the second and third, `width` wide inside; the two leading dimensions of all
/// three have the same product.
fn attention(m: &mut Scope<'_>, name: &str, [q, k, v]: [ValueId; 3], width: usize, sam: &WholeConfig) -> Result<ValueId> {
    let mut dims = m.shape(q).0;
    m.module(name, |m| {
        let mut inputs = Vec::new();
        for (name, x) in [("q_proj", q), ("k_proj", k), ("v_proj", v)] {
            let x = m.linear(name, x, width, true)?;
            inputs.push(split_heads(m, x, sam.num_attention_heads)?);
        }
        let x = m.sdpa(&inputs, false)?;
        let x = m.permute(x, &[0, 2, 1, 3])?;
        dims.pop();
        dims.push(width.into());
        let x = m.reshape(x, dims)?;
        m.linear("out_proj", x, sam.hidden_size, true)
    })
}

/// `[b, p, t, c]` → `[b*p, heads, t, c/heads]`.
fn split_heads(m: &mut Scope<'_>, x: ValueId, heads: usize) -> Result<ValueId> {
    let batch = m.dim(x, 0).times(&m.dim(x, 1));
    let dims: [Dim; 4] = [batch, m.dim(x, 2), heads.into(), (m.size(x, 3) / heads.max(1)).into()];
    let x = m.reshape(x, dims)?;
    m.op(Op::Permute { axes: vec![0, 2, 1, 3] }, &[x])
}

//! `T5Stack` as an encoder: pre-normed blocks without biases, one relative position bias for all of them.

use dmdx_graph::{Op, ValueId};

use super::config::T5Config;
use crate::arch::scope::Scope;
use crate::error::Result;

/// `x [b, s, d]` → `[b, s, d]`; `mask [b, 1, 1, s]` is added to the scores.
pub(super) fn encoder(m: &mut Scope<'_>, x: ValueId, mask: Option<ValueId>, t5: &T5Config) -> Result<ValueId> {
    let length = m.dim(x, 1);
    let mut first = m.child("block.0.layer.0.SelfAttention.relative_attention_bias");
    let table = first.param("weight", &[t5.num_buckets, t5.num_heads])?;
    let mut bias = first.op(Op::BucketBias { max_distance: t5.max_distance, bidirectional: true, length }, &[table])?;
    if let Some(mask) = mask {
        bias = m.add(bias, mask)?;
    }
    let mut x = x;
    for i in 0..t5.num_layers {
        x = m.module(&format!("block.{i}"), |m| {
            let x = m.module("layer.0", |m| self_attention(m, x, bias, t5))?;
            m.module("layer.1", |m| feed_forward(m, x, t5))
        })?;
    }
    m.rms_norm("final_layer_norm", x, t5.layer_norm_epsilon)
}

/// `T5LayerSelfAttention`; scores are not scaled, the released weights make up for it.
fn self_attention(m: &mut Scope<'_>, x: ValueId, bias: ValueId, t5: &T5Config) -> Result<ValueId> {
    let normed = m.rms_norm("layer_norm", x, t5.layer_norm_epsilon)?;
    let mut attention = m.child("SelfAttention");
    let mut inputs = Vec::new();
    for name in ["q", "k", "v"] {
        let projected = attention.linear(name, normed, t5.num_heads * t5.d_kv, false)?;
        inputs.push(attention.split_heads(projected, t5.num_heads)?);
    }
    inputs.push(bias);
    let attended = attention.op(Op::Sdpa { scale: 1.0, causal: false }, &inputs)?;
    let attended = attention.merge_heads(attended)?;
    let attended = attention.linear("o", attended, t5.d_model, false)?;
    attention.mark_self(attended);
    m.add(x, attended)
}

/// `T5LayerFF` with `T5DenseGatedActDense` or `T5DenseActDense`.
fn feed_forward(m: &mut Scope<'_>, x: ValueId, t5: &T5Config) -> Result<ValueId> {
    let normed = m.rms_norm("layer_norm", x, t5.layer_norm_epsilon)?;
    let fed = m.module("DenseReluDense", |m| {
        let wide = m.linear(if t5.gated { "wi_0" } else { "wi" }, normed, t5.d_ff, false)?;
        let mut wide = m.module("act", |m| m.op(t5.activation.clone(), &[wide]))?;
        if t5.gated {
            let factor = m.linear("wi_1", normed, t5.d_ff, false)?;
            wide = m.op(Op::Mul, &[wide, factor])?;
        }
        m.linear("wo", wide, t5.d_model, false)
    })?;
    m.add(x, fed)
}

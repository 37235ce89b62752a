//! `CLIPEncoder`: the transformer of both halves.

use dmdx_graph::ValueId;

use super::config::EncoderConfig;
use crate::arch::scope::Scope;
use crate::error::Result;

/// `x [b, s, d]` through all layers at `encoder`; the result holds the hidden states, the embeddings first.
pub(super) fn encoder(scope: &mut Scope<'_>, x: ValueId, config: &EncoderConfig, causal: bool) -> Result<Vec<ValueId>> {
    let mut hidden_states = vec![x];
    let mut x = x;
    for i in 0..config.num_hidden_layers {
        x = scope.module(&format!("encoder.layers.{i}"), |m| layer(m, x, config, causal))?;
        hidden_states.push(x);
    }
    scope.mark("encoder", x);
    Ok(hidden_states)
}

fn layer(m: &mut Scope<'_>, x: ValueId, config: &EncoderConfig, causal: bool) -> Result<ValueId> {
    let normed = m.layer_norm("layer_norm1", x, config.layer_norm_eps)?;
    let attended = m.module("self_attn", |m| {
        let q = m.linear("q_proj", normed, config.hidden_size, true)?;
        let k = m.linear("k_proj", normed, config.hidden_size, true)?;
        let v = m.linear("v_proj", normed, config.hidden_size, true)?;
        let attended = m.attention([q, k, v], config.num_attention_heads, causal)?;
        m.linear("out_proj", attended, config.hidden_size, true)
    })?;
    let x = m.add(x, attended)?;
    let normed = m.layer_norm("layer_norm2", x, config.layer_norm_eps)?;
    let fed = m.module("mlp", |m| {
        let wide = m.linear("fc1", normed, config.intermediate_size, true)?;
        let wide = m.module("activation_fn", |m| m.op(config.activation.clone(), &[wide]))?;
        m.linear("fc2", wide, config.hidden_size, true)
    })?;
    m.add(x, fed)
}

/// Marks each state `hidden_states.i` at the root of the network, as `output_hidden_states=True` numbers them.
pub(super) fn mark_hidden_states(root: &mut Scope<'_>, hidden_states: &[ValueId]) {
    for (i, state) in hidden_states.iter().enumerate() {
        root.mark(&format!("hidden_states.{i}"), *state);
    }
}

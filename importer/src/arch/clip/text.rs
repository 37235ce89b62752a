//! `CLIPTextModel` and `CLIPTextModelWithProjection`.

use dmdx_graph::{Dim, Graph, Op, Type};

use super::config::TextConfig;
use super::encoder::{encoder, mark_hidden_states};
use crate::arch::scope::Scope;
use crate::error::Result;

/// `input_ids [b, s]` → `last_hidden_state [b, s, d]`, then `pooler_output [b, d]` or, with projection,
/// `text_embeds [b, p]`, then `penultimate_hidden_state [b, s, d]` (`hidden_states[-2]`, which SDXL and SD3 use).
pub(super) fn text_encoder(class: &str, config: &TextConfig, projection: Option<usize>) -> Result<Graph> {
    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 2);
    let s = graph.symbol("s", "text tokens", config.max_position_embeddings);
    let ids = graph.input("input_ids", Type::i64([b, s.clone()]))?;

    let mut scope = Scope::new(&mut graph);
    let mut model = scope.child("text_model");
    let embeddings = model.module("embeddings", |m| {
        let width = config.encoder.hidden_size;
        let tokens = m.module("token_embedding", |m| {
            let table = m.param("weight", &[config.vocab_size, width])?;
            m.op(Op::Embedding, &[ids, table])
        })?;
        let positions = m.module("position_embedding", |m| {
            let table = m.param("weight", &[config.max_position_embeddings, width])?;
            let rows = m.op(Op::Slice { axis: 0, start: Dim::constant(0), length: s.clone() }, &[table])?;
            m.reshape(rows, [1.into(), s, width.into()])
        })?;
        m.add(tokens, positions)
    })?;
    let hidden_states = encoder(&mut model, embeddings, &config.encoder, true)?;
    let last = hidden_states[hidden_states.len() - 1];
    let last = model.layer_norm("final_layer_norm", last, config.encoder.layer_norm_eps)?;
    model.mark_self(last);
    let pooled = model.op(Op::PoolToken { rule: config.pool }, &[last, ids])?;
    let pooled = match projection {
        Some(width) => ("text_embeds", scope.linear("text_projection", pooled, width, false)?),
        None => ("pooler_output", pooled),
    };
    mark_hidden_states(&mut scope, &hidden_states);
    graph.output("last_hidden_state", last)?;
    graph.output(pooled.0, pooled.1)?;
    graph.output("penultimate_hidden_state", hidden_states[hidden_states.len() - 2])?;
    Ok(graph)
}

//! `T5EncoderModel` of transformers: the text encoder of SD3 and CogVideoX.

mod config;
mod encoder;

use dmdx_graph::{DType, Graph, Op, Type};
use serde_json::Value;

use super::config::Config;
use super::graphs::{ArchGraphs, Ignored, Rename};
use super::scope::Scope;
use crate::error::Result;
use config::T5Config;

/// Added to the score of a masked token, as the reference does in float32.
const MASKED: f64 = f32::MIN as f64;
/// Tokens of a prompt in SD3 (CogVideoX: 226).
const USUAL_TOKENS: usize = 256;

/// Files of whole T5 models hold a decoder as well.
const IGNORED: [Ignored; 2] = [
    Ignored { pattern: "decoder.", reason: "the decoder is not part of the encoder" },
    Ignored { pattern: "lm_head.", reason: "the decoder's output layer is not part of the encoder" },
];

/// The token table is shared with the decoder in a whole T5 model; files hold it under one of two names, or under both.
const RENAMES: [Rename; 1] = [Rename { old: "encoder.embed_tokens.", new: "shared." }];

/// The part `text_encoder`: `input_ids [b, s]` → `last_hidden_state [b, s, d]`, every token seen by every other, as
/// diffusers' pipelines of SD3 and CogVideoX call it; and `text_encoder_masked`, the same with an `attention_mask [b, s]`
/// (1 for tokens, 0 for padding that is not looked at) as second input.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let t5 = T5Config::read(&config)?;
    let parts = vec![
        ("text_encoder".into(), text_encoder(class, &t5, false)?),
        ("text_encoder_masked".into(), text_encoder(&format!("{class}.masked"), &t5, true)?),
    ];
    Ok(ArchGraphs {
        class: class.into(),
        parts,
        ignored: IGNORED.to_vec(),
        renames: RENAMES.to_vec(),
        warnings: config.warnings(),
    })
}

fn text_encoder(name: &str, t5: &T5Config, masked: bool) -> Result<Graph> {
    let mut graph = Graph::new(name);
    let b = graph.symbol("b", "batch", 1);
    let s = graph.symbol("s", "text tokens", USUAL_TOKENS);
    let ids = graph.input("input_ids", Type::i64([b.clone(), s.clone()]))?;
    let mask = if masked { Some(graph.input("attention_mask", Type::i64([b.clone(), s.clone()]))?) } else { None };

    let mut scope = Scope::new(&mut graph);
    let x = scope.module("shared", |m| {
        let table = m.param("weight", &[t5.vocab_size, t5.d_model])?;
        m.op(Op::Embedding, &[ids, table])
    })?;
    let hidden = scope.module("encoder", |m| {
        let mask = match mask {
            Some(mask) => {
                let mask = m.op(Op::Cast { dtype: DType::F32 }, &[mask])?;
                // The product with a number that is no truth value would overflow.
                let mask = m.op(Op::Clamp { min: 0.0, max: 1.0 }, &[mask])?;
                let mask = m.affine(mask, -MASKED, MASKED)?;
                Some(m.reshape(mask, [b, 1.into(), 1.into(), s])?)
            }
            None => None,
        };
        encoder::encoder(m, x, mask, t5)
    })?;
    graph.output("last_hidden_state", hidden)?;
    Ok(graph)
}

//! `Dinov2Model` of transformers: a vision transformer for pictures of any size.

mod config;
mod encoder;

use dmdx_graph::{Graph, Type};
use serde_json::Value;

use super::config::Config;
use super::graphs::{ArchGraphs, Ignored};
use super::scope::Scope;
use crate::error::Result;
use config::Dinov2Config;

const IGNORED: [Ignored; 1] =
    [Ignored { pattern: "embeddings.mask_token", reason: "stands for hidden patches in its own training only" }];

/// The part `vision_encoder`: `pixel_values [b, c, patch*h, patch*w]` → `last_hidden_state [b, 1 + h*w, d]`, the token of
/// the whole picture first, and `pooler_output [b, d]`, that token alone.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let dino = Dinov2Config::read(&config)?;

    let mut graph = Graph::new(class);
    let patch = dino.patch_size;
    let b = graph.symbol("b", "batch", 1);
    let h = graph.symbol("h", &format!("picture height / {patch}"), dino.grid());
    let w = graph.symbol("w", &format!("picture width / {patch}"), dino.grid());
    let size = [b, dino.num_channels.into(), h.scaled(patch), w.scaled(patch)];
    let pixels = graph.input("pixel_values", Type::f32(size))?;
    let mut scope = Scope::new(&mut graph);
    let embeddings = scope.module("embeddings", |m| encoder::embeddings(m, pixels, &dino))?;
    let hidden = scope.module("encoder", |m| encoder::encoder(m, embeddings, &dino))?;
    let last = scope.layer_norm("layernorm", hidden, dino.layer_norm_eps)?;
    let pooled = scope.slice(last, 1, 0, 1)?;
    let dims = [scope.dim(last, 0), scope.dim(last, 2)];
    let pooled = scope.reshape(pooled, dims)?;
    graph.output("last_hidden_state", last)?;
    graph.output("pooler_output", pooled)?;
    Ok(ArchGraphs {
        class: class.into(),
        parts: vec![("vision_encoder".into(), graph)],
        ignored: IGNORED.to_vec(),
        renames: Vec::new(),
        warnings: config.warnings(),
    })
}

//! `CLIPVisionModel` and `CLIPVisionModelWithProjection`.

use dmdx_graph::{Dim, Graph, Op, Shape, Type};

use super::config::VisionConfig;
use super::encoder::{encoder, mark_hidden_states};
use crate::arch::scope::{Conv, Scope};
use crate::error::Result;

/// `pixel_values [b, c, size, size]` → `last_hidden_state [b, 1 + patches, d]`, then `pooler_output [b, d]` or, with
/// projection, `image_embeds [b, p]`.
pub(super) fn vision_encoder(class: &str, config: &VisionConfig, projection: Option<usize>) -> Result<Graph> {
    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 1);
    let side = Dim::constant(config.image_size);
    let pixels = graph.input("pixel_values", Type::f32([b.clone(), config.num_channels.into(), side.clone(), side]))?;
    let (width, eps) = (config.encoder.hidden_size, config.encoder.layer_norm_eps);

    let mut scope = Scope::new(&mut graph);
    let mut model = scope.child("vision_model");
    let embeddings = model.module("embeddings", |m| {
        let patches = m.conv2d("patch_embedding", pixels, width, Conv::patches(config.patch_size, false))?;
        let patches = m.flatten_image(patches)?;
        let class = m.param("class_embedding", &[width])?;
        let class = m.op(Op::Expand { shape: Shape(vec![b.clone(), 1.into(), width.into()]) }, &[class])?;
        let tokens = m.op(Op::Concat { axis: 1 }, &[class, patches])?;
        let count = m.size(tokens, 1);
        let positions = m.module("position_embedding", |m| {
            let table = m.param("weight", &[count, width])?;
            m.reshape(table, [1.into(), count.into(), width.into()])
        })?;
        m.add(tokens, positions)
    })?;
    let first = model.layer_norm("pre_layrnorm", embeddings, eps)?;
    let hidden_states = encoder(&mut model, first, &config.encoder, false)?;
    let last = hidden_states[hidden_states.len() - 1];
    model.mark_self(last);
    let class = model.op(Op::Slice { axis: 1, start: Dim::constant(0), length: Dim::constant(1) }, &[last])?;
    let class = model.reshape(class, [b, width.into()])?;
    let pooled = model.layer_norm("post_layernorm", class, eps)?;
    let pooled = match projection {
        Some(width) => ("image_embeds", scope.linear("visual_projection", pooled, width, false)?),
        None => ("pooler_output", pooled),
    };
    mark_hidden_states(&mut scope, &hidden_states);
    graph.output("last_hidden_state", last)?;
    graph.output(pooled.0, pooled.1)?;
    Ok(graph)
}

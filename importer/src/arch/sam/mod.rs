//! The vision encoder of transformers' `SamModel` and `SamVisionModel`.

mod config;
mod encoder;

use dmdx_graph::{Dim, Graph, Type};
use serde_json::Value;

use super::config::Config;
use super::scope::Scope;
use super::{ArchGraphs, Ignored};
use crate::Result;
use config::SamConfig;

/// The rest of a `SamModel`: it turns clicks into masks.
const IGNORED: [Ignored; 3] = [
    Ignored { pattern: "prompt_encoder.", reason: "the prompt encoder is not part of the vision encoder" },
    Ignored { pattern: "mask_decoder.", reason: "the mask decoder is not part of the vision encoder" },
    Ignored { pattern: "shared_image_embedding.", reason: "only the prompt encoder uses it" },
];

/// The part `vision_encoder`: `pixel_values [b, c, size, size]` → `image_embeddings [b, o, size/patch, size/patch]`,
/// which `SamVisionModel` calls `last_hidden_state` (a mark of that name is set).
pub fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let vision = match class {
        "SamModel" => Some(config.child("vision_config")?),
        _ => None,
    };
    let sam = SamConfig::read(vision.as_ref().unwrap_or(&config))?;
    config.unused(&["prompt_encoder_config", "mask_decoder_config"]);
    config.unused_of_transformers();

    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 1);
    let side = Dim::constant(sam.image_size);
    let pixels = graph.input("pixel_values", Type::f32([b, sam.num_channels.into(), side.clone(), side]))?;
    let mut scope = Scope::new(&mut graph);
    let output = scope.module("vision_encoder", |m| encoder::vision_encoder(m, pixels, &sam))?;
    scope.mark("last_hidden_state", output);
    graph.output("image_embeddings", output)?;
    Ok(ArchGraphs {
        class: class.into(),
        parts: vec![("vision_encoder".into(), graph)],
        ignored: if vision.is_some() { IGNORED.to_vec() } else { Vec::new() },
        renames: Vec::new(),
        warnings: config.warnings().into_iter().chain(vision.iter().flat_map(Config::warnings)).collect(),
    })
}

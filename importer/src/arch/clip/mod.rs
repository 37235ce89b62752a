//! The CLIP models of transformers: text and vision encoders, with and without projection.

mod config;
mod encoder;
mod text;
mod vision;

use config::{TextConfig, VisionConfig};
use serde_json::Value;

use super::config::Config;
use super::graphs::{ArchGraphs, Ignored};
use crate::error::Result;

/// Buffers that older files hold, and the temperature of the training loss.
const IGNORED: [Ignored; 3] = [
    Ignored { pattern: "text_model.embeddings.position_ids", reason: "a constant 0, 1, 2, …" },
    Ignored { pattern: "vision_model.embeddings.position_ids", reason: "a constant 0, 1, 2, …" },
    Ignored { pattern: "logit_scale", reason: "scales similarities in the training loss only" },
];

/// The part `text_encoder`; `…WithProjection` in the class decides.
pub(super) fn build_text(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let text = TextConfig::read(&config)?;
    let projection = class.ends_with("WithProjection").then_some(text.projection_dim);
    let graph = text::text_encoder(class, &text, projection)?;
    Ok(graphs(class, vec![("text_encoder".into(), graph)], config.warnings()))
}

/// The part `vision_encoder`; `…WithProjection` in the class decides.
pub(super) fn build_vision(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let vision = VisionConfig::read(&config)?;
    let projection = class.ends_with("WithProjection").then_some(vision.projection_dim);
    let graph = vision::vision_encoder(class, &vision, projection)?;
    Ok(graphs(class, vec![("vision_encoder".into(), graph)], config.warnings()))
}

/// `CLIPModel`: both parts, projected into the shared space of `projection_dim`.
pub(super) fn build_both(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let projection = config.size("projection_dim", 512)?;
    let text_config = half(&config, "text_config", "text_config_dict")?;
    let vision_config = half(&config, "vision_config", "vision_config_dict")?;
    let text = text::text_encoder("CLIPModel.text", &TextConfig::read(&text_config)?, Some(projection))?;
    let vision = vision::vision_encoder("CLIPModel.vision", &VisionConfig::read(&vision_config)?, Some(projection))?;
    // The initial temperature of the training loss.
    config.unused(&["logit_scale_init_value"]);
    config.unused_of_transformers();
    let warnings = [config, text_config, vision_config].iter().flat_map(Config::warnings).collect();
    Ok(graphs(class, vec![("text_encoder".into(), text), ("vision_encoder".into(), vision)], warnings))
}

/// Old files hold the halves' configurations twice. As in transformers the copy wins, with defaults for what it leaves out;
/// what both say has to agree.
fn half<'a>(config: &Config<'a>, key: &str, copy: &str) -> Result<Config<'a>> {
    let Some(entries) = config.get(copy).and_then(Value::as_object) else { return config.child(key) };
    let once = config.get(key);
    let differs = |(name, value): (&String, &Value)| once.and_then(|half| half.get(name)).is_some_and(|other| other != value);
    match entries.iter().any(differs) {
        true => Err(config.refused(copy, &format!("it contradicts `{key}`; make them agree"))),
        false => config.child(copy),
    }
}

fn graphs(class: &str, parts: Vec<(String, dmdx_graph::Graph)>, warnings: Vec<String>) -> ArchGraphs {
    ArchGraphs { class: class.into(), parts, ignored: IGNORED.to_vec(), renames: Vec::new(), warnings }
}

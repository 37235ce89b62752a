//! Transformers' `SamModel` and `SamVisionModel`.

mod config;
mod encoder;
mod mask_decoder;
mod prompt;
mod two_way;
mod whole_config;

use dmdx_graph::{Dim, Graph, Op, Type, ValueId};
use serde_json::Value;

use super::config::Config;
use super::graphs::{ArchGraphs, Ignored, Rename};
use super::scope::Scope;
use crate::error::Result;
use config::SamConfig;
use whole_config::WholeConfig;

/// What the graphs of a whole `SamModel` leave out.
const IGNORED: [Ignored; 3] = [
    Ignored { pattern: "prompt_encoder.mask_embed.", reason: "masks are not taken as prompts" },
    Ignored { pattern: "prompt_encoder.point_embed.2.", reason: "boxes are not taken as prompts" },
    Ignored { pattern: "prompt_encoder.point_embed.3.", reason: "boxes are not taken as prompts" },
];

/// The rest of a `SamModel` whose configuration describes the vision encoder alone.
const IGNORED_WITHOUT_PROMPTS: [Ignored; 3] = [
    Ignored { pattern: "prompt_encoder.", reason: "the configuration does not describe the prompt encoder" },
    Ignored { pattern: "mask_decoder.", reason: "the configuration does not describe the mask decoder" },
    Ignored { pattern: "shared_image_embedding.", reason: "only the prompt encoder uses it" },
];

/// Files hold the shared table under one of two names, or under both.
const RENAMES: [Rename; 1] = [Rename { old: "prompt_encoder.shared_embedding.", new: "shared_image_embedding." }];

/// The part `vision_encoder`: `pixel_values [b, c, size, size]` → `image_embeddings [b, o, size/patch, size/patch]`,
/// which `SamVisionModel` calls `last_hidden_state` (a mark of that name is set).
///
/// `SamModel` has the part `sam` as well, from pictures and points to masks; a file without its tensors, or a
/// configuration without `prompt_encoder_config` and `mask_decoder_config`, gives the encoder alone.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    if class != "SamModel" {
        let sam = SamConfig::read(&config)?;
        config.unused(&["num_pos_feats"]);
        let parts = vec![("vision_encoder".into(), vision_encoder(class, &sam)?)];
        return Ok(ArchGraphs::new(class, parts, config.warnings()));
    }
    let vision = config.child("vision_config")?;
    let sam = SamConfig::read(&vision)?;
    config.unused_of_transformers();
    let mut parts = vec![("vision_encoder".into(), vision_encoder(class, &sam)?)];
    if ["prompt_encoder_config", "mask_decoder_config"].iter().all(|key| config.get(key).is_none()) {
        vision.unused(&["num_pos_feats"]);
        return Ok(ArchGraphs {
            class: class.into(),
            parts,
            ignored: IGNORED_WITHOUT_PROMPTS.to_vec(),
            renames: Vec::new(),
            warnings: [config, vision].iter().flat_map(Config::warnings).collect(),
        });
    }
    let (prompt, decoder) = (config.child("prompt_encoder_config")?, config.child("mask_decoder_config")?);
    let whole = WholeConfig::read(&vision, &prompt, &decoder, &sam)?;
    parts.push(("sam".into(), whole_model(class, &sam, &whole)?));
    Ok(ArchGraphs {
        class: class.into(),
        parts,
        ignored: IGNORED.to_vec(),
        renames: RENAMES.to_vec(),
        warnings: [config, vision, prompt, decoder].iter().flat_map(Config::warnings).collect(),
    })
}

fn vision_encoder(class: &str, sam: &SamConfig) -> Result<Graph> {
    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 1);
    let pixels = pixels(&mut graph, b, sam)?;
    let mut scope = Scope::new(&mut graph);
    let output = scope.module("vision_encoder", |m| encoder::vision_encoder(m, pixels, sam))?;
    scope.mark("last_hidden_state", output);
    graph.output("image_embeddings", output)?;
    Ok(graph)
}

fn pixels(graph: &mut Graph, b: Dim, sam: &SamConfig) -> Result<ValueId> {
    let side = Dim::constant(sam.image_size);
    Ok(graph.input("pixel_values", Type::f32([b, sam.num_channels.into(), side.clone(), side]))?)
}

/// `pixel_values [b, c, size, size]`, `input_points [b, p, n, 2]` (column and row, in pixels) and `input_labels [b, p, n]`
/// (1 on the object, 0 outside, -1 background, -10 padding) → `pred_masks [b, p, m, 4*grid, 4*grid]`, logits, and
/// `iou_scores [b, p, m]`: `m` masks for each of `p` sets of `n` points.
fn whole_model(class: &str, sam: &SamConfig, whole: &WholeConfig) -> Result<Graph> {
    let mut graph = Graph::new(&format!("{class}.whole"));
    let b = graph.symbol("b", "batch", 1);
    let p = graph.symbol("p", "sets of points per picture", 1);
    let n = graph.symbol("n", "points per set", 1);
    let pixels = pixels(&mut graph, b.clone(), sam)?;
    let points = graph.input("input_points", Type::f32([b.clone(), p.clone(), n.clone(), 2.into()]))?;
    let labels = graph.input("input_labels", Type::i64([b, p, n]))?;

    let mut scope = Scope::new(&mut graph);
    let width = whole.hidden_size;
    let table = scope.child("shared_image_embedding").param("positional_embedding", &[2, width / 2])?;
    let positions = prompt::image_positions(&mut scope.child("shared_image_embedding"), table, sam.grid())?;
    let image = scope.module("vision_encoder", |m| encoder::vision_encoder(m, pixels, sam))?;
    let sparse = scope.module("prompt_encoder", |m| prompt::points(m, points, labels, table, whole))?;
    let dense = scope.child("prompt_encoder.no_mask_embed").param("weight", &[1, width])?;
    let mut decoder = scope.child("mask_decoder");
    let dense = decoder.reshape(dense, [1.into(), width.into(), 1.into(), 1.into()])?;
    let image = decoder.op(Op::Add, &[image, dense])?;
    let (masks, scores) = mask_decoder::mask_decoder(&mut decoder, [image, positions, sparse], whole)?;
    decoder.mark_self(masks);
    graph.output("pred_masks", masks)?;
    graph.output("iou_scores", scores)?;
    Ok(graph)
}

//! `diffusers.SD3Transformer2DModel`: Stable Diffusion 3 Medium, 3.5 Medium and 3.5 Large.

mod attention;
mod block;
mod config;

use attention::AttentionStyle;
use block::{BlockStyle, joint_block, norm_continuous};
use config::MmditConfig;
use dmdx_graph::{Dim, Graph, GraphError, Op, Type, ValueId};
use serde_json::Value;

use super::adaptive::{MAX_PERIOD, condition_mlp, unpatchify};
use super::config::Config;
use super::graphs::ArchGraphs;
use super::scope::{Conv, Scope};
use crate::error::Result;

/// Width of the timestep's sines and cosines, fixed in `CombinedTimestepTextProjEmbeddings`.
const TIME_WIDTH: usize = 256;

/// Text tokens of the released pipelines: 77 of CLIP and 256 of T5.
const USUAL_TEXT: usize = 77 + 256;

/// The part `transformer`: `hidden_states [b, c, H, W], encoder_hidden_states [b, s, d], pooled_projections [b, p],
/// timestep [b]` → `sample [b, c', H, W]`, with `H = patch*h`. Rows and columns of patches are at most the side of the
/// table of positions.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let net = MmditConfig::read(&config)?;
    let mut graph = Graph::new(class);
    let patch = net.patch_size;
    let b = graph.symbol("b", "batch", 2);
    let usual = (net.sample_size / patch).clamp(1, net.pos_embed_max_size);
    let h = graph.symbol("h", &format!("latent height / {patch}"), usual).scaled(patch);
    let w = graph.symbol("w", &format!("latent width / {patch}"), usual).scaled(patch);
    let s = graph.symbol("s", "text tokens", USUAL_TEXT);
    let latent = graph.input("hidden_states", Type::f32([b.clone(), net.in_channels.into(), h, w]))?;
    let text = graph.input("encoder_hidden_states", Type::f32([b.clone(), s, net.joint_attention_dim.into()]))?;
    let pooled = graph.input("pooled_projections", Type::f32([b.clone(), Dim::constant(net.pooled_projection_dim)]))?;
    let timestep = graph.input("timestep", Type::f32([b]))?;

    let mut scope = Scope::new(&mut graph);
    let output = forward(&mut scope, &net, latent, text, [pooled, timestep])?;
    graph.output("sample", output)?;
    Ok(ArchGraphs::new(class, vec![("transformer".into(), graph)], config.warnings()))
}

fn forward(
    scope: &mut Scope<'_>,
    net: &MmditConfig,
    latent: ValueId,
    text: ValueId,
    [pooled, timestep]: [ValueId; 2],
) -> Result<ValueId> {
    let patches = |axis| scope.dim(latent, axis).exact_div(net.patch_size).map_err(GraphError::from);
    let grid = [patches(2)?, patches(3)?];
    let mut image = patch_embed(scope, net, latent, &grid)?;
    let time = time_text_embed(scope, net, pooled, timestep)?;
    let mut text = scope.linear("context_embedder", text, net.width, true)?;
    for (i, dual_attention) in net.dual_attention.iter().enumerate() {
        let style = BlockStyle {
            attention: AttentionStyle { heads: net.num_attention_heads, qk_norm: net.qk_norm },
            dual_attention: *dual_attention,
            context_pre_only: i + 1 == net.num_layers,
        };
        let next = joint_block(scope, &format!("transformer_blocks.{i}"), [image, text], time, style)?;
        (image, text) = (next.0, next.1.unwrap_or(text));
    }
    let x = norm_continuous(scope, "norm_out", image, time)?;
    let x = scope.linear("proj_out", x, net.patch_size * net.patch_size * net.out_channels, true)?;
    unpatchify(scope, x, [&grid[0], &grid[1]], net.patch_size, true)
}

/// `PatchEmbed`: one token per patch, with its place in the middle of the table of positions.
fn patch_embed(scope: &mut Scope<'_>, net: &MmditConfig, latent: ValueId, grid: &[Dim; 2]) -> Result<ValueId> {
    let side = net.pos_embed_max_size;
    let [height, width] = grid.clone();
    scope.module("pos_embed", |m| {
        let x = m.conv2d("proj", latent, net.width, Conv::patches(net.patch_size, true))?;
        let x = m.flatten_image(x)?;
        let table = m.param("pos_embed", &[1, side * side, net.width])?;
        let table = m.op(Op::CropTable { side, height, width }, &[table])?;
        m.add(x, table)
    })
}

/// `CombinedTimestepTextProjEmbeddings`: the condition of all norms.
fn time_text_embed(scope: &mut Scope<'_>, net: &MmditConfig, pooled: ValueId, timestep: ValueId) -> Result<ValueId> {
    let embed = Op::TimestepEmbed { dim: TIME_WIDTH, flip_sin_to_cos: true, freq_shift: 0.0, max_period: MAX_PERIOD };
    scope.module("time_text_embed", |m| {
        let time = m.module("time_proj", |m| m.op(embed, &[timestep]))?;
        let time = condition_mlp(m, "timestep_embedder", "act", time, net.width)?;
        let pooled = condition_mlp(m, "text_embedder", "act_1", pooled, net.width)?;
        m.add(time, pooled)
    })
}

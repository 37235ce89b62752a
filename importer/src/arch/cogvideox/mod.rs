//! `diffusers.CogVideoXTransformer3DModel`: CogVideoX 2b, 5b, 5b-I2V and 1.5.

mod block;
mod config;
mod patches;

use block::{BlockStyle, block};
use config::{CogVideoXConfig, Positions};
use dmdx_graph::{Dim, Graph, Op, Type, ValueId};
use patches::{Grid, patch_embed, tokens_of, unpatchify_video};
use serde_json::Value;

use super::adaptive::{MAX_PERIOD, condition_mlp, modulate, modulation};
use super::config::Config;
use super::graphs::ArchGraphs;
use super::scope::Scope;
use crate::error::Result;

/// The part `transformer`: `hidden_states [b, F, c, H, W], encoder_hidden_states [b, s, d], timestep [b]`, `ofs [b]` where
/// the network has it, and `rope_cos, rope_sin [f*h*w, e]` where positions are rotary → `sample [b, F, c', H, W]`, with
/// `H = patch*h` and `F = f` or, with patches in time, a multiple of it. A network with a table of positions takes latents
/// and text of the table's size only.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let net = CogVideoXConfig::read(&config)?;
    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 1);
    let (grid, s) = sizes(&mut graph, &net);
    let [f, h, w] = &grid;
    let (frames, rows, columns) = (f.scaled(net.patch_size_t.unwrap_or(1)), h.scaled(net.patch_size), w.scaled(net.patch_size));
    let video = graph.input("hidden_states", Type::f32([b.clone(), frames, net.in_channels.into(), rows, columns]))?;
    let text = graph.input("encoder_hidden_states", Type::f32([b.clone(), s.clone(), net.text_embed_dim.into()]))?;
    let timestep = graph.input("timestep", Type::f32([b.clone()]))?;
    let ofs = match net.ofs_embed_dim {
        Some(_) => Some(graph.input("ofs", Type::f32([b]))?),
        None => None,
    };
    let rope = match net.positions {
        Positions::Sincos => None,
        Positions::Rotary | Positions::RotaryAndTable => {
            let ty = Type::f32([tokens_of(&grid), net.attention_head_dim.into()]);
            Some([graph.input("rope_cos", ty.clone())?, graph.input("rope_sin", ty)?])
        }
    };

    let mut scope = Scope::new(&mut graph);
    let time = time_embedding(&mut scope, &net, timestep, ofs)?;
    let x = scope.module("patch_embed", |m| patch_embed(m, &net, video, text, &grid))?;
    let patches = tokens_of(&grid);
    let text = scope.slice(x, 1, 0, s.clone())?;
    let image = scope.slice(x, 1, s, patches)?;
    let image = blocks(&mut scope, &net, [image, text], time, rope)?;
    let output = head(&mut scope, &net, image, time, &grid)?;
    graph.output("sample", output)?;
    Ok(ArchGraphs::new(class, vec![("transformer".into(), graph)], config.warnings()))
}

/// The grid of patches and the length of the text: symbols, or known with a table of positions.
fn sizes(graph: &mut Graph, net: &CogVideoXConfig) -> (Grid, Dim) {
    let (patch, frames) = (net.patch_size, net.patch_size_t.unwrap_or(1));
    let usual = [net.latent_frames.div_ceil(frames), net.sample_height / patch, net.sample_width / patch];
    if net.positions == Positions::RotaryAndTable {
        return (usual.map(Dim::constant), Dim::constant(net.max_text_seq_length));
    }
    let meanings = [
        if frames == 1 { "latent frames".to_string() } else { format!("latent frames / {frames}") },
        format!("latent height / {patch}"),
        format!("latent width / {patch}"),
    ];
    let mut symbol = |i: usize, name: &str| graph.symbol(name, &meanings[i], usual[i].max(1));
    let grid = [symbol(0, "f"), symbol(1, "h"), symbol(2, "w")];
    (grid, graph.symbol("s", "text tokens", net.max_text_seq_length))
}

/// The condition of all norms: the timestep and, for one network, a second number.
fn time_embedding(scope: &mut Scope<'_>, net: &CogVideoXConfig, timestep: ValueId, ofs: Option<ValueId>) -> Result<ValueId> {
    let embed =
        |dim| Op::TimestepEmbed { dim, flip_sin_to_cos: net.flip_sin_to_cos, freq_shift: net.freq_shift, max_period: MAX_PERIOD };
    let width = net.time_embed_dim;
    let time = scope.module("time_proj", |m| m.op(embed(net.width()), &[timestep]))?;
    let time = condition_mlp(scope, "time_embedding", "act", time, width)?;
    let Some(ofs) = ofs else { return Ok(time) };
    let ofs = scope.module("ofs_proj", |m| m.op(embed(width), &[ofs]))?;
    let ofs = condition_mlp(scope, "ofs_embedding", "act", ofs, width)?;
    scope.add(time, ofs)
}

/// All blocks; returns the patches.
fn blocks(
    scope: &mut Scope<'_>,
    net: &CogVideoXConfig,
    [mut image, mut text]: [ValueId; 2],
    time: ValueId,
    rope: Option<[ValueId; 2]>,
) -> Result<ValueId> {
    let style = BlockStyle {
        heads: net.num_attention_heads,
        attention_bias: net.attention_bias,
        gelu_tanh: net.gelu_tanh,
        norm: net.norm,
    };
    for i in 0..net.num_layers {
        [image, text] = block(scope, &format!("transformer_blocks.{i}"), [image, text], time, rope, style)?;
    }
    Ok(image)
}

/// The end of the network: patches → the predicted video.
fn head(scope: &mut Scope<'_>, net: &CogVideoXConfig, x: ValueId, time: ValueId, grid: &Grid) -> Result<ValueId> {
    let [x] = net.norm.apply(scope, "norm_final", [x])?;
    let x = scope.module("norm_out", |m| {
        let shift_scale = modulation(m, time, net.width())?;
        let [x] = net.norm.apply(m, "norm", [x])?;
        modulate(m, x, shift_scale)
    })?;
    let elements = net.patch_size * net.patch_size * net.patch_size_t.unwrap_or(1) * net.out_channels;
    let x = scope.linear("proj_out", x, elements, true)?;
    unpatchify_video(scope, net, x, grid)
}

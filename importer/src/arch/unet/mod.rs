//! `diffusers.UNet2DConditionModel`: Stable Diffusion 1.5, 2.1, SDXL and its refiner.

mod config;
mod transformer;

use config::{Depth, Level, Middle, TextTime, UnetConfig};
use dmdx_graph::{Dim, Graph, Op, Type, ValueId};
use serde_json::Value;
use transformer::{TransformerStyle, transformer};

use super::adaptive::{MAX_PERIOD, condition_mlp};
use super::config::Config;
use super::graphs::ArchGraphs;
use super::resnet::{ResnetStyle, downsample, resnet, upsample};
use super::scope::{Conv, Scope};
use crate::error::Result;

/// The part `unet`: `sample [b, c, H, W], timestep [b], encoder_hidden_states [b, s, d]`, where it was distilled with
/// guidance `timestep_cond [b, g]` (the embedded weight, `get_guidance_scale_embedding` of diffusers), and for SDXL
/// `text_embeds [b, p], time_ids [b, 6]` → `sample [b, c', H, W]`, with `H = 2^(levels-1)*h`.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let unet = UnetConfig::read(&config)?;
    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 2);
    let factor = 1 << (unet.levels.len() - 1);
    let usual = (unet.sample_size.unwrap_or(64) / factor).max(1);
    let h = graph.symbol("h", &format!("latent height / {factor}"), usual).scaled(factor);
    let w = graph.symbol("w", &format!("latent width / {factor}"), usual).scaled(factor);
    let s = graph.symbol("s", "text tokens", 77);
    let sample = graph.input("sample", Type::f32([b.clone(), unet.in_channels.into(), h, w]))?;
    let timestep = graph.input("timestep", Type::f32([b.clone()]))?;
    let text = graph.input("encoder_hidden_states", Type::f32([b.clone(), s, unet.cross_attention_dim.into()]))?;
    let guidance = match unet.time_cond_proj_dim {
        Some(width) => Some(graph.input("timestep_cond", Type::f32([b.clone(), width.into()]))?),
        None => None,
    };
    let pooled = match &unet.text_time {
        Some(TextTime { text_width, ids, .. }) => Some((
            graph.input("text_embeds", Type::f32([b.clone(), Dim::constant(*text_width)]))?,
            graph.input("time_ids", Type::f32([b, Dim::constant(*ids)]))?,
        )),
        None => None,
    };

    let mut scope = Scope::new(&mut graph);
    let time = time_embedding(&mut scope, &unet, timestep, guidance, pooled)?;
    let output = forward(&mut scope, &unet, sample, time, text)?;
    graph.output("sample", output)?;
    Ok(ArchGraphs::new(class, vec![("unet".into(), graph)], config.warnings()))
}

/// The vector that shifts every residual block: timestep, and for SDXL pooled text and picture sizes.
fn time_embedding(
    scope: &mut Scope<'_>,
    unet: &UnetConfig,
    timestep: ValueId,
    guidance: Option<ValueId>,
    pooled: Option<(ValueId, ValueId)>,
) -> Result<ValueId> {
    let embed = |dim| Op::TimestepEmbed {
        dim,
        flip_sin_to_cos: unet.flip_sin_to_cos,
        freq_shift: unet.freq_shift,
        max_period: MAX_PERIOD,
    };
    let width = unet.time_embedding_dim;
    let mut time = scope.module("time_proj", |m| m.op(embed(unet.levels[0].channels), &[timestep]))?;
    if let Some(guidance) = guidance {
        let mut m = scope.child("time_embedding");
        let told = m.linear("cond_proj", guidance, unet.levels[0].channels, false)?;
        time = m.add(time, told)?;
    }
    let time = condition_mlp(scope, "time_embedding", "act", time, width)?;
    let (Some(TextTime { ids, id_width, .. }), Some((text_embeds, time_ids))) = (&unet.text_time, pooled) else {
        return Ok(time);
    };
    let batch = scope.dim(time_ids, 0);
    let flat = scope.reshape(time_ids, [batch.scaled(*ids)])?;
    let sizes = scope.module("add_time_proj", |m| m.op(embed(*id_width), &[flat]))?;
    let sizes = scope.reshape(sizes, [batch, (ids * id_width).into()])?;
    let joined = scope.op(Op::Concat { axis: 1 }, &[text_embeds, sizes])?;
    let added = condition_mlp(scope, "add_embedding", "act", joined, width)?;
    scope.add(time, added)
}

/// What every block of the network is given.
struct Context<'c> {
    unet: &'c UnetConfig,
    time: ValueId,
    text: ValueId,
}

impl Context<'_> {
    fn resnet(&self, m: &mut Scope<'_>, i: usize, x: ValueId, channels: usize, output_scale: f64) -> Result<ValueId> {
        let style = ResnetStyle { groups: self.unet.norm_num_groups, eps: self.unet.norm_eps, output_scale };
        resnet(m, &format!("resnets.{i}"), x, Some(self.time), channels, style)
    }

    fn attend(&self, m: &mut Scope<'_>, i: usize, x: ValueId, level: &Level, depth: &Depth, only_cross: bool) -> Result<ValueId> {
        let style = TransformerStyle {
            heads: level.heads,
            groups: self.unet.norm_num_groups,
            linear_projection: self.unet.use_linear_projection,
            only_cross_attention: only_cross,
        };
        transformer(m, &format!("attentions.{i}"), x, self.text, depth.at(i), style)
    }
}

fn forward(scope: &mut Scope<'_>, unet: &UnetConfig, sample: ValueId, time: ValueId, text: ValueId) -> Result<ValueId> {
    let context = Context { unet, time, text };
    let last = unet.levels.len() - 1;
    let sample = if unet.center_input_sample { scope.op(Op::Affine { mul: 2.0, add: -1.0 }, &[sample])? } else { sample };
    let mut x = scope.conv2d("conv_in", sample, unet.levels[0].channels, Conv::same(unet.conv_in_kernel))?;
    let mut skips = vec![x];
    for (i, level) in unet.levels.iter().enumerate() {
        x = scope.module(&format!("down_blocks.{i}"), |m| down_block(m, &context, x, level, i < last, &mut skips))?;
    }
    if unet.mid_block != Middle::None {
        x = scope.module("mid_block", |m| mid_block(m, &context, x))?;
    }
    for (i, level) in unet.levels.iter().rev().enumerate() {
        x = scope.module(&format!("up_blocks.{i}"), |m| up_block(m, &context, x, level, i < last, &mut skips))?;
    }
    x = scope.group_norm("conv_norm_out", x, unet.norm_num_groups, unet.norm_eps)?;
    x = scope.module("conv_act", |m| m.op(Op::Silu, &[x]))?;
    scope.conv2d("conv_out", x, unet.out_channels, Conv::same(unet.conv_out_kernel))
}

/// `DownBlock2D` or `CrossAttnDownBlock2D`; leaves its intermediate results on `skips`.
fn down_block(
    m: &mut Scope<'_>,
    context: &Context<'_>,
    mut x: ValueId,
    level: &Level,
    shrink: bool,
    skips: &mut Vec<ValueId>,
) -> Result<ValueId> {
    for i in 0..level.layers {
        x = context.resnet(m, i, x, level.channels, 1.0)?;
        if level.down_attends {
            x = context.attend(m, i, x, level, &level.down_depth, level.only_cross_attention)?;
        }
        skips.push(x);
    }
    if shrink {
        x = downsample(m, x, context.unet.downsample_padding)?;
        skips.push(x);
    }
    Ok(x)
}

/// `UNetMidBlock2D`, or `UNetMidBlock2DCrossAttn`, which has one attention layer and never the option
/// `only_cross_attention`.
fn mid_block(m: &mut Scope<'_>, context: &Context<'_>, x: ValueId) -> Result<ValueId> {
    let Some(level) = context.unet.levels.last() else { return Ok(x) };
    let scale = context.unet.mid_block_scale_factor;
    let x = context.resnet(m, 0, x, level.channels, scale)?;
    if context.unet.mid_block == Middle::Plain {
        return Ok(x);
    }
    let x = context.attend(m, 0, x, level, &level.down_depth, false)?;
    context.resnet(m, 1, x, level.channels, scale)
}

/// `UpBlock2D` or `CrossAttnUpBlock2D`; takes from `skips` what the downward blocks left.
fn up_block(
    m: &mut Scope<'_>,
    context: &Context<'_>,
    mut x: ValueId,
    level: &Level,
    grow: bool,
    skips: &mut Vec<ValueId>,
) -> Result<ValueId> {
    for i in 0..=level.layers {
        if let Some(skip) = skips.pop() {
            x = m.op(Op::Concat { axis: 1 }, &[x, skip])?;
        }
        x = context.resnet(m, i, x, level.channels, 1.0)?;
        if level.up_attends {
            x = context.attend(m, i, x, level, &level.up_depth, level.only_cross_attention)?;
        }
    }
    if grow { upsample(m, x) } else { Ok(x) }
}

//! `diffusers.AutoencoderKL`: the picture autoencoders of Stable Diffusion 1.5, 2.1, SDXL and 3.

mod blocks;
mod config;

use blocks::{head, mid_block, plain_resnet};
use config::VaeConfig;
use dmdx_graph::{Graph, Type};
use serde_json::Value;

use super::autoencoder::{latent_symbols, mean_and_logvar};
use super::config::Config;
use super::graphs::{ArchGraphs, Rename};
use super::resnet::{downsample, upsample};
use super::scope::{Conv, Scope};
use crate::error::Result;

/// Attention modules of autoencoders saved before diffusers 0.18.
const RENAMES: [Rename; 4] = [
    Rename { old: "query", new: "to_q" },
    Rename { old: "key", new: "to_k" },
    Rename { old: "value", new: "to_v" },
    Rename { old: "proj_attn", new: "to_out.0" },
];

/// The parts `vae_encoder`: `sample [b, c, 2^k*h, 2^k*w]` → `mean, logvar [b, l, h, w]`, and `vae_decoder`:
/// `latent [b, l, h, w]` → `sample [b, c', 2^k*h, 2^k*w]`, with `k = levels - 1`.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let vae = VaeConfig::read(&config)?;
    Ok(ArchGraphs {
        class: class.into(),
        parts: vec![("vae_encoder".into(), encoder(&vae)?), ("vae_decoder".into(), decoder(&vae)?)],
        ignored: Vec::new(),
        renames: RENAMES.to_vec(),
        warnings: config.warnings(),
    })
}

fn encoder(vae: &VaeConfig) -> Result<Graph> {
    let mut graph = Graph::new("AutoencoderKL.encode");
    let [b, h, w] = latent_symbols(&mut graph, [vae.sample_size; 2], vae.block_out_channels.len());
    let last = vae.block_out_channels.len() - 1;
    let factor = 1 << last;
    let sample = graph.input("sample", Type::f32([b, vae.in_channels.into(), h.scaled(factor), w.scaled(factor)]))?;
    let moments = 2 * vae.latent_channels;

    let mut scope = Scope::new(&mut graph);
    let mut x = scope.module("encoder", |m| {
        let mut x = m.conv2d("conv_in", sample, vae.block_out_channels[0], Conv::same(3))?;
        for (i, &channels) in vae.block_out_channels.iter().enumerate() {
            x = m.module(&format!("down_blocks.{i}"), |m| {
                let mut x = x;
                for layer in 0..vae.layers_per_block {
                    x = plain_resnet(m, layer, x, channels, vae)?;
                }
                if i < last { downsample(m, x, 0) } else { Ok(x) }
            })?;
        }
        x = mid_block(m, x, vae)?;
        head(m, x, moments, vae)
    })?;
    if vae.use_quant_conv {
        x = scope.conv2d("quant_conv", x, moments, Conv::same(1))?;
    }
    let [mean, logvar] = mean_and_logvar(&mut scope, x, vae.latent_channels)?;
    graph.output("mean", mean)?;
    graph.output("logvar", logvar)?;
    Ok(graph)
}

fn decoder(vae: &VaeConfig) -> Result<Graph> {
    let mut graph = Graph::new("AutoencoderKL.decode");
    let [b, h, w] = latent_symbols(&mut graph, [vae.sample_size; 2], vae.block_out_channels.len());
    let last = vae.block_out_channels.len() - 1;
    let latent = graph.input("latent", Type::f32([b, vae.latent_channels.into(), h, w]))?;

    let mut scope = Scope::new(&mut graph);
    let x = match vae.use_post_quant_conv {
        true => scope.conv2d("post_quant_conv", latent, vae.latent_channels, Conv::same(1))?,
        false => latent,
    };
    let sample = scope.module("decoder", |m| {
        let mut x = m.conv2d("conv_in", x, vae.block_out_channels[last], Conv::same(3))?;
        x = mid_block(m, x, vae)?;
        for (i, &channels) in vae.block_out_channels.iter().rev().enumerate() {
            x = m.module(&format!("up_blocks.{i}"), |m| {
                let mut x = x;
                for layer in 0..=vae.layers_per_block {
                    x = plain_resnet(m, layer, x, channels, vae)?;
                }
                if i < last { upsample(m, x) } else { Ok(x) }
            })?;
        }
        head(m, x, vae.out_channels, vae)
    })?;
    graph.output("sample", sample)?;
    Ok(graph)
}

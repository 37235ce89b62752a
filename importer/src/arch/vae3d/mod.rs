//! `diffusers.AutoencoderKLCogVideoX`: the video autoencoder of CogVideoX.
//!
//! The reference takes a video in batches of frames, encodes 8 pixel frames or decodes 2 latent frames at once, what
//! remains with the first, and hands the last frames that each convolution has read on to the next batch. Which
//! operations that are depends on the number of frames, so a graph is built for one number and holds every batch; all of
//! them read the same parameters. Marks are those of the last batch.

mod blocks;
mod config;
mod conv;
mod frames;
mod norm;

use blocks::Pass;
use config::{TIME_LEVELS, VideoVaeConfig};
use conv::{Cache, causal_conv};
use dmdx_graph::{Graph, Type, ValueId};
pub(super) use frames::shortest_video;
use norm::SpatialCondition;
use serde_json::Value;

use super::autoencoder::{latent_symbols, mean_and_logvar};
use super::config::Config;
use super::graphs::ArchGraphs;
use super::scope::Scope;
use crate::error::Result;

/// The reference class.
pub(super) const CLASS: &str = "AutoencoderKLCogVideoX";

/// As [`build_for_frames`], for the 49 frames of the released networks.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    build_for_frames(class, value, frames::DEFAULT_FRAMES)
}

/// The parts `vae_encoder`: `sample [b, c, frames, 2^k*h, 2^k*w]` → `mean, logvar [b, l, f, h, w]`, and `vae_decoder`:
/// `latent [b, l, f, h, w]` → `sample [b, c', frames', 2^k*h, 2^k*w]`, with `k = levels - 1` and `f` a quarter of
/// `frames`, rounded up. An even `f` decodes to `4*f` frames, an odd one to `4*f - 3`.
pub(super) fn build_for_frames(class: &str, value: &Value, frames: usize) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let vae = VideoVaeConfig::read(&config)?;
    let frames = frames::checked(class, frames)?;
    Ok(ArchGraphs::new(
        class,
        vec![("vae_encoder".into(), encoder(&vae, frames)?), ("vae_decoder".into(), decoder(&vae, frames)?)],
        config.warnings(),
    ))
}

fn encoder(vae: &VideoVaeConfig, frames: usize) -> Result<Graph> {
    let mut graph = Graph::new("AutoencoderKLCogVideoX.encode");
    let [b, h, w] = latent_symbols(&mut graph, vae.sample_size, vae.block_out_channels.len());
    let side = 1 << vae.last();
    let dims = [b, vae.in_channels.into(), frames.into(), h.scaled(side), w.scaled(side)];
    let sample = graph.input("sample", Type::f32(dims))?;
    let mut scope = Scope::new(&mut graph);
    let moments = in_batches(&mut scope, sample, frames::ENCODED_AT_ONCE, |scope, x, cache| {
        let mut pass = Pass { vae, cache, condition: None };
        scope.module("encoder", |m| {
            let mut x = causal_conv(m, "conv_in", x, vae.block_out_channels[0], pass.cache)?;
            for (i, &channels) in vae.block_out_channels.iter().enumerate() {
                x = m.module(&format!("down_blocks.{i}"), |m| {
                    let x = pass.resnets(m, x, channels, vae.layers_per_block)?;
                    if i < vae.last() { pass.downsample(m, x, i < TIME_LEVELS) } else { Ok(x) }
                })?;
            }
            x = pass.mid_block(m, x)?;
            pass.head(m, x, 2 * vae.latent_channels)
        })
    })?;
    let [mean, logvar] = mean_and_logvar(&mut scope, moments, vae.latent_channels)?;
    graph.output("mean", mean)?;
    graph.output("logvar", logvar)?;
    Ok(graph)
}

fn decoder(vae: &VideoVaeConfig, frames: usize) -> Result<Graph> {
    let mut graph = Graph::new("AutoencoderKLCogVideoX.decode");
    let [b, h, w] = latent_symbols(&mut graph, vae.sample_size, vae.block_out_channels.len());
    let latent = graph.input("latent", Type::f32([b, vae.latent_channels.into(), frames::encoded(frames).into(), h, w]))?;
    let mut scope = Scope::new(&mut graph);
    let sample = in_batches(&mut scope, latent, frames::DECODED_AT_ONCE, |scope, x, cache| {
        let mut pass = Pass { vae, cache, condition: Some(SpatialCondition::new(x)) };
        scope.module("decoder", |m| {
            let mut x = causal_conv(m, "conv_in", x, vae.block_out_channels[vae.last()], pass.cache)?;
            x = pass.mid_block(m, x)?;
            for (i, &channels) in vae.block_out_channels.iter().rev().enumerate() {
                x = m.module(&format!("up_blocks.{i}"), |m| {
                    let x = pass.resnets(m, x, channels, vae.layers_per_block + 1)?;
                    if i < vae.last() { pass.upsample(m, x, i < TIME_LEVELS) } else { Ok(x) }
                })?;
            }
            pass.head(m, x, vae.out_channels)
        })
    })?;
    graph.output("sample", sample)?;
    Ok(graph)
}

/// `body` of each batch of frames in turn, results joined.
fn in_batches(
    scope: &mut Scope<'_>,
    x: ValueId,
    at_once: usize,
    mut body: impl FnMut(&mut Scope<'_>, ValueId, &mut Cache) -> Result<ValueId>,
) -> Result<ValueId> {
    let batches = frames::batches(scope.size(x, 2), at_once);
    let mut cache = Cache::new();
    let mut results = Vec::new();
    for &(start, length) in &batches {
        let batch = if batches.len() == 1 { x } else { scope.slice(x, 2, start, length)? };
        results.push(body(scope, batch, &mut cache)?);
    }
    match results[..] {
        [only] => Ok(only),
        _ => scope.concat(2, &results),
    }
}

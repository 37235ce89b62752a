//! Heads of the released teachers, from their configurations alone: distillation.md 3.8.2, 3.8.3 and item 13 of section 9.

use std::path::Path;

use dmdx_graph::Graph;
use dmdx_importer::arch;
use dmdx_runtime::family::{self, Family};

use super::feature::{FeatureLayout, find_taps};
use super::head_graph;
use super::head_layer::HeadLayout;
use crate::recipe::HeadOutput;

/// The configuration of a released model, and one of its networks without weights.
fn released(name: &str, part: &str) -> (serde_json::Value, Graph) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/full").join(name).with_extension("json");
    let full: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let graph = arch::build(&full["config"]).unwrap().parts.into_iter().find(|(found, _)| found == part).unwrap().1;
    (full["config"].clone(), graph)
}

/// How many heads there are on `taps`, and how many millions of parameters they have.
fn heads(graph: &Graph, taps: &[String], input: (&str, Vec<usize>), layout: &FeatureLayout, width: usize) -> (usize, f64) {
    let taps = find_taps(graph, taps, &[input], layout, "taps").unwrap();
    let layout = HeadLayout { width, groups: 32, min_size: 4, output: HeadOutput::Scalar };
    (taps.len(), head_graph::build(&taps, layout).unwrap().param_elements() as f64 / 1e6)
}

/// The same on the default taps of a pipeline's denoiser at its usual size.
fn of_denoiser(pipeline: &str, name: &str, latent: &[usize], width: usize) -> (usize, f64) {
    let family: &dyn Family = family::of_class(pipeline).unwrap();
    let names = family.denoiser();
    let (config, graph) = released(name, names.part);
    let taps = family.default_taps(&mut graph.marks().keys().map(String::as_str));
    let layout = family.token_grid(&config, latent).map_or(FeatureLayout::ChannelsFirst, FeatureLayout::Tokens);
    let input = [&[1], latent].concat();
    heads(&graph, &taps, (names.sample, input), &layout, width)
}

fn near((count, millions): (usize, f64), wanted: usize, expected: f64, within: f64) {
    assert!(
        count == wanted && (millions - expected).abs() <= within,
        "{count} heads of {millions} M, not {wanted} of {expected} M"
    );
}

/// Pictures of 1024×1024: printed to a tenth of a million.
#[test]
fn heads_of_width_256_have_the_printed_sizes() {
    let sdxl = |width| of_denoiser("StableDiffusionXLPipeline", "unet_sdxl_base", &[4, 128, 128], width);
    let sd3 = |name: &str, width| of_denoiser("StableDiffusion3Pipeline", name, &[16, 128, 128], width);
    near(sdxl(256), 7, 51.9, 0.05);
    near(sd3("sd3_medium", 256), 24, 251.8, 0.05);
    near(sd3("sd35_large", 256), 38, 538.1, 0.05);
    let (_, sam) = released("sam_vit_b", "vision_encoder");
    let layers: Vec<String> = [2, 5, 8, 11].iter().map(|layer| format!("vision_encoder.layers.{layer}")).collect();
    let pixels = sam.inputs()[0].0.to_string();
    near(heads(&sam, &layers, (&pixels, vec![1, 3, 1024, 1024]), &FeatureLayout::ChannelsLast, 256), 4, 29.4, 0.05);
    // Of width 128, printed to a million.
    near(sdxl(128), 7, 19.0, 0.5);
    near(sd3("sd3_medium", 128), 24, 101.0, 0.5);
    near(sd3("sd35_large", 128), 38, 229.0, 0.5);
}

/// Videos of 49 frames of 480×720, every third block: printed to a million.
#[test]
fn heads_of_videos_have_the_printed_sizes() {
    let video = |name: &str, width| of_denoiser("CogVideoXPipeline", name, &[13, 16, 60, 90], width);
    near(video("cogvideox_2b", 256), 10, 186.0, 0.5);
    near(video("cogvideox_5b", 256), 14, 372.0, 0.5);
    near(video("cogvideox_2b", 128), 10, 80.0, 0.5);
    near(video("cogvideox_5b", 128), 14, 167.0, 0.5);
}

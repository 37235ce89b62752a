//! `AutoencoderKLCogVideoX` for videos of every kind of length.
//!
//! The tolerance is that of `networks.rs`: 1e-4 absolute against float32 runs of the reference.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use common::fixture;
use dmdx_graph::{Def, Graph, Op};
use dmdx_importer::check::{self, Kind};
use dmdx_importer::graph_file::WriteOptions;
use dmdx_importer::{Component, ImportOptions, arch, convert, import};
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-4;

fn folder() -> PathBuf {
    fixture("zoo/vae_cogvideox")
}

fn options(frames: usize) -> ImportOptions {
    ImportOptions { frames: Some(frames), ..ImportOptions::default() }
}

fn agrees(io: &str, outputs: usize, activations: usize) {
    let io = folder().join(format!("io_{io}.safetensors"));
    let report = check::run(&folder(), &io, TOLERANCE, &ImportOptions::default()).unwrap();
    assert!(report.passed(), "{report}");
    let count = |kind| report.rows.iter().filter(|row| row.kind == kind).count();
    assert_eq!((count(Kind::Output), count(Kind::Activation)), (outputs, activations), "{report}");
}

/// 17 pixel frames are batches of 9 and 8, with activations of the second one.
#[test]
fn encodes_in_batches() {
    agrees("encode", 2, 9);
}

/// 5 latent frames are batches of 3 and 2, with activations of the second one.
#[test]
fn decodes_in_batches() {
    agrees("decode", 1, 9);
}

#[test]
fn every_module_of_the_encoder() {
    agrees("encode_3", 2, 82);
}

#[test]
fn every_module_of_the_decoder() {
    agrees("decode_1", 1, 269);
}

/// One batch of one frame, of an even number, of more than one batch holds; several batches without remainder.
#[test]
fn encodes_any_number_of_frames() {
    for frames in [1, 2, 12, 20] {
        agrees(&format!("encode_{frames}"), 2, 0);
    }
}

#[test]
fn decodes_odd_and_even_numbers_of_frames() {
    for frames in [2, 3, 4] {
        agrees(&format!("decode_{frames}"), 1, 0);
    }
}

/// The number of frames of an input or output.
fn frames(graph: &Graph, id: dmdx_graph::ValueId) -> usize {
    graph.value(id).ty.shape.0[2].known().unwrap()
}

fn lengths(component: &Component) -> [usize; 4] {
    let [encoder, decoder] = ["vae_encoder", "vae_decoder"].map(|part| &component.parts[part]);
    [
        frames(encoder, encoder.inputs()[0].1),
        frames(encoder, encoder.outputs()[0].value),
        frames(decoder, decoder.inputs()[0].1),
        frames(decoder, decoder.outputs()[0].value),
    ]
}

#[test]
fn a_graph_has_the_frames_that_were_asked_for() {
    assert_eq!(lengths(&import(&folder(), &ImportOptions::default()).unwrap()), [49, 13, 13, 49]);
    for (wanted, lengths_of_it) in [(1, [1, 1, 1, 1]), (5, [5, 2, 2, 8]), (8, [8, 2, 2, 8]), (81, [81, 21, 21, 81])] {
        assert_eq!(lengths(&import(&folder(), &options(wanted)).unwrap()), lengths_of_it);
    }
}

#[test]
fn numbers_of_frames_that_no_video_has_are_refused() {
    let refused = |frames| import(&folder(), &options(frames)).unwrap_err().to_string();
    insta::assert_snapshot!(refused(0), @"AutoencoderKLCogVideoX cannot be built for 0 frames; give 1 to 1024");
    insta::assert_snapshot!(refused(1025), @"AutoencoderKLCogVideoX cannot be built for 1025 frames; give 1 to 1024");
    assert_eq!(lengths(&import(&folder(), &options(1024)).unwrap()), [1024, 256, 256, 1024]);
}

#[test]
fn a_converted_file_keeps_its_frames() {
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("vae.safetensors");
    convert(&folder(), &file, &options(5), WriteOptions::default()).unwrap();
    assert_eq!(lengths(&import(&file, &ImportOptions::default()).unwrap()), [5, 2, 2, 8]);
    assert_eq!(lengths(&import(&file, &options(5)).unwrap()), [5, 2, 2, 8]);
    let io = folder().join("io_decode_2.safetensors");
    assert!(check::run(&file, &io, TOLERANCE, &ImportOptions::default()).unwrap().passed());
    let error = import(&file, &options(9)).unwrap_err().to_string();
    assert!(error.ends_with("it was converted for 5 frames, not for 9; convert the checkpoint again with --frames 9"), "{error}");
}

/// Batches share parameters, norms of one batch share the enlarged latent, and every further batch adds as much.
#[test]
fn the_graph_grows_by_batches() {
    let count = |frames| {
        let component = import(&folder(), &options(frames)).unwrap();
        let decoder = &component.parts["vae_decoder"];
        let reads = |wanted: &str| {
            let id = decoder.params()[wanted].value;
            decoder.values().filter(|(_, value)| matches!(&value.def, Def::Op { inputs, .. } if inputs.contains(&id))).count()
        };
        let enlarged =
            decoder.values().filter(|(id, _)| matches!(decoder.op(*id), Some((Op::UpNearest { factor: 2 | 4 | 8 }, _))));
        (decoder.params().len(), decoder.order().len(), reads("decoder.conv_in.conv.weight"), enlarged.count())
    };
    let [two, three, four] = [16, 24, 32].map(count);
    assert_eq!((two.0, three.0), (three.0, four.0));
    assert_eq!(four.1 - three.1, three.1 - two.1);
    assert_eq!((two.2, three.2, four.2), (2, 3, 4));
    // Three times for the video, and once for the latent at each of three enlarged sizes.
    assert_eq!((two.3, three.3, four.3), (12, 18, 24));
}

fn refusal(key: &str, value: Value) -> String {
    let text = std::fs::read_to_string(folder().join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config[key] = value;
    arch::build(&config).unwrap_err().to_string()
}

#[test]
fn refusals_name_key_value_and_what_is_supported() {
    insta::assert_snapshot!(refusal("use_quant_conv", json!(true)), @"the configuration of AutoencoderKLCogVideoX has `use_quant_conv` = true, but only false is supported");
    insta::assert_snapshot!(refusal("use_post_quant_conv", json!(true)), @"the configuration of AutoencoderKLCogVideoX has `use_post_quant_conv` = true, but only false is supported");
    insta::assert_snapshot!(refusal("temporal_compression_ratio", json!(8)), @"the configuration of AutoencoderKLCogVideoX has `temporal_compression_ratio` = 8, but only 4 is supported");
    insta::assert_snapshot!(refusal("block_out_channels", json!([4, 4])), @"the configuration of AutoencoderKLCogVideoX has `block_out_channels` = [4,4], but 3 to 8 levels are supported");
    insta::assert_snapshot!(refusal("layers_per_block", json!(33)), @"the configuration of AutoencoderKLCogVideoX has `layers_per_block` = 33, but at most 32 is supported");
    insta::assert_snapshot!(refusal("act_fn", json!("mish")), @"the configuration of AutoencoderKLCogVideoX has `act_fn` = \"mish\", but only `silu` or `swish` is supported");
    insta::assert_snapshot!(refusal("down_block_types", json!(["DownEncoderBlock2D"])), @r#"the configuration of AutoencoderKLCogVideoX has `down_block_types` = ["DownEncoderBlock2D"], but a list of CogVideoXDownBlock3D is supported"#);
}

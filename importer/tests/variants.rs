//! UNets with options of distilled and pruned releases answer as diffusers' do. Weights and inputs are made of their names.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::fixture;
use dmdx_graph::interp::{Tensor, run};
use dmdx_graph::{Graph, Weight};
use dmdx_importer::arch;
use serde_json::{Value, json};

/// Uniform in ±scale/2, of a hash of name and place: what `fixtures/unet-variants/make.py` computes.
fn numbers(name: &str, count: usize, scale: f64) -> Vec<f32> {
    let seed = name.bytes().fold(0x811c_9dc5u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let number = |i: usize| {
        let u = seed.wrapping_add((i as u32).wrapping_mul(2_654_435_761));
        let u = (u ^ (u >> 15)).wrapping_mul(2_246_822_519);
        ((f64::from(u ^ (u >> 13)) / 2f64.powi(32) - 0.5) * scale) as f32
    };
    (0..count).map(number).collect()
}

fn with_weights(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let params: Vec<(String, Vec<usize>)> = graph.params().iter().map(|(name, p)| (name.to_string(), p.shape.clone())).collect();
    for (name, shape) in params {
        let values = numbers(&name, shape.iter().product(), 1.0);
        graph.set_weight(&name, Weight::from_f32(&values, shape).unwrap()).unwrap();
    }
    graph
}

fn answers() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("unet-variants/answers.json")).unwrap()).unwrap()
}

/// The answer at every second row and column.
fn answer(config: &Value) -> (usize, Vec<f64>) {
    let network = arch::build(config).unwrap();
    assert_eq!(network.warnings, Vec::<String>::new());
    let graph = with_weights(&network.parts[0].1);
    let shapes: BTreeMap<&str, Vec<usize>> = BTreeMap::from([
        ("sample", vec![2, 4, 4, 4]),
        ("encoder_hidden_states", vec![2, 3, 12]),
        ("timestep_cond", vec![2, config["time_cond_proj_dim"].as_u64().unwrap_or(1) as usize]),
    ]);
    let inputs = graph.inputs().iter().map(|(name, _)| {
        let tensor = match shapes.get(&**name) {
            Some(shape) => Tensor::from_f32(&numbers(&format!("in.{name}"), shape.iter().product(), 2.0), shape),
            None => Tensor::from_f32(&[981.0, 20.0], &[2]),
        };
        (name.to_string(), tensor.unwrap())
    });
    let outputs = run(&graph, &inputs.collect()).unwrap().outputs;
    let all = outputs["sample"].to_f64();
    (graph.params().len(), all.chunks(8).flat_map(|rows| [rows[0], rows[2]]).collect())
}

#[test]
fn variants_answer_as_the_reference() {
    let answers = answers();
    for (case, wanted) in answers["cases"].as_object().unwrap() {
        let (parameters, found) = answer(&wanted["config"]);
        assert_eq!(parameters as u64, wanted["parameters"].as_u64().unwrap(), "{case}");
        let wanted: Vec<f64> = serde_json::from_value(wanted["sample"].clone()).unwrap();
        assert_eq!(found.len(), wanted.len());
        let worst = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // The reference computes in f32 and is written with seven digits.
        assert!(worst < 5e-6, "{case}: {worst}");
    }
}

#[test]
fn other_middles_are_refused_by_name() {
    let mut config = answers()["cases"]["plain_middle"]["config"].clone();
    config["mid_block_type"] = json!("UNetMidBlock2DSimpleCrossAttn");
    let text = arch::build(&config).unwrap_err().to_string();
    assert!(text.contains("only \"UNetMidBlock2DCrossAttn\", \"UNetMidBlock2D\" and null are supported"), "{text}");
}

//! Inception-v3 and LPIPS, in their released widths, against torchvision, pytorch-fid and lpips. Weights follow a rule (see
//! `fixtures/scoring`), so that no file has to hold them.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::fixture;
use dmdx_graph::Weight;
use dmdx_importer::arch;
use dmdx_importer::check::{self, Kind};
use dmdx_importer::reference::ReferenceFile;

/// The references are float32 runs: Inception's values are of size 1, the maps of LPIPS a hundredth of it.
const TOLERANCE: f64 = 2e-5;
const LPIPS_TOLERANCE: f64 = 2e-6;

/// `count` numbers from -1 to 1 that depend on the name and their position alone.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (1..=count as u64).map(move |i| {
        let mut z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f64 / 8_388_608.0 - 1.0
    })
}

fn weight(name: &str, shape: &[usize]) -> Weight {
    let (base, range) = match shape {
        _ if name.starts_with("lin") => (0.5, 0.5),
        [_, inputs @ ..] if !inputs.is_empty() => (0.0, (6.0 / inputs.iter().product::<usize>() as f64).sqrt()),
        _ if name.ends_with("running_var") => (1.0, 0.5),
        _ if name.ends_with("bn.weight") => (1.0, 0.25),
        _ => (0.0, 0.25),
    };
    let values: Vec<f32> = uniform(name, shape.iter().product()).map(|u| (base + range * u) as f32).collect();
    Weight::from_f32(&values, shape.to_vec()).unwrap()
}

fn agrees(case: &str, tolerance: f64, outputs: usize, activations: usize) {
    let folder = fixture("scoring").join(case);
    let config = serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let mut network = arch::build(&config).unwrap();
    assert_eq!(network.warnings, Vec::<String>::new());
    let graph = &mut network.parts[0].1;
    let needed: BTreeMap<String, Vec<usize>> =
        graph.params().iter().map(|(name, param)| (name.to_string(), param.shape.clone())).collect();
    for (name, shape) in needed {
        graph.set_weight(&name, weight(&name, &shape)).unwrap();
    }
    let reference = ReferenceFile::open(&folder.join("io.safetensors")).unwrap();
    let report = check::check_graph(case, graph, &reference, tolerance).unwrap();
    assert!(report.passed(), "{report}");
    let count = |kind| report.rows.iter().filter(|row| row.kind == kind).count();
    assert_eq!((count(Kind::Output), count(Kind::Activation)), (outputs, activations), "{report}");
}

#[test]
fn inception_as_in_torchvision() {
    agrees("inception_torchvision", TOLERANCE, 2, 5);
}

/// Pictures of another size and range than the network's.
#[test]
fn inception_as_patched_for_fid() {
    agrees("inception_fid", TOLERANCE, 2, 2);
}

#[test]
fn lpips_over_vgg16() {
    agrees("lpips_vgg", LPIPS_TOLERANCE, 1, 5);
}

#[test]
fn lpips_over_alexnet() {
    agrees("lpips_alex", LPIPS_TOLERANCE, 1, 5);
}

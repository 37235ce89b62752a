//! Tiles against those of diffusers: the cuts, and what becomes of coded tiles.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{copy_of_bundle, difference, engines, fixture, tensors};
use dmdx_runtime::family::tiling::{Tiles, decoded_in_tiles, in_tiles};
use dmdx_runtime::manifest::Manifest;
use dmdx_runtime::{Bundle, Error, Pipeline, Tensor};

/// Two roundings of values up to 4 in float32, where this crate rounds once.
const TOLERANCE: f64 = 1e-6;

fn recorded(name: &str) -> BTreeMap<String, Tensor> {
    tensors(&fixture("vae-tiling").join(format!("{name}.safetensors")))
        .into_iter()
        .map(|(key, (tensor, _))| (key, tensor))
        .collect()
}

/// The network of a recording: hands out the coded tiles in their order, if it is given the cuts in theirs.
struct Recording {
    tensors: BTreeMap<String, Tensor>,
    given: usize,
}

impl Recording {
    fn code(&mut self, tile: &Tensor) -> Result<Tensor, Error> {
        let number = self.given;
        self.given += 1;
        assert_eq!(*tile, self.tensors[&format!("cut.{number:02}")], "tile {number}");
        Ok(self.tensors[&format!("coded.{number:02}")].clone())
    }
}

fn equals_diffusers(name: &str, tiles: &Tiles, count: usize) {
    let mut recording = Recording { tensors: recorded(name), given: 0 };
    let (given, wanted) = (recording.tensors["given"].clone(), recording.tensors["result"].clone());
    let result = in_tiles(&given, tiles, |tile| recording.code(tile)).unwrap();
    assert_eq!(recording.given, count);
    assert!(difference(&result, &wanted) < TOLERANCE, "{name}: {}", difference(&result, &wanted));
}

/// The last tiles have 7 and 1 rows, fewer than fade in.
#[test]
fn pictures_are_decoded_as_by_diffusers() {
    equals_diffusers("decode", &Tiles::pictures(8, 16), 12);
}

#[test]
fn pictures_are_encoded_as_by_diffusers() {
    equals_diffusers("encode", &Tiles::pictures(8, 16).reversed(), 12);
}

/// Rows and columns are cut differently.
#[test]
fn videos_are_decoded_as_by_diffusers() {
    equals_diffusers("video", &Tiles::videos([12, 10], [48, 40]), 4);
}

#[test]
fn the_enlargement_is_found_out_by_decoding() {
    let mut recording = Recording { tensors: recorded("decode"), given: 0 };
    let (given, wanted) = (recording.tensors["given"].clone(), recording.tensors["result"].clone());
    let result = decoded_in_tiles(&given, 8, |tile| recording.code(tile)).unwrap();
    assert_eq!(recording.given, 12);
    assert!(difference(&result, &wanted) < TOLERANCE);
}

#[test]
fn what_fits_in_a_tile_is_coded_at_once() {
    let input = Tensor::f32([1, 1, 2, 3], vec![1.0; 6]).unwrap();
    let mut calls = 0;
    let mut same = |tile: &Tensor| {
        calls += 1;
        Ok(tile.clone())
    };
    assert_eq!(in_tiles(&input, &Tiles::pictures(3, 3), &mut same).unwrap(), input);
    assert_eq!(decoded_in_tiles(&input, 3, &mut same).unwrap(), input);
    assert_eq!(calls, 2);
}

#[test]
fn tiles_that_cannot_be_are_refused() {
    let input = Tensor::f32([1, 1, 4, 4], vec![1.0; 16]).unwrap();
    let same = |tile: &Tensor| Ok(tile.clone());
    // Of 3 rows that become 6, diffusers would leave 5 for every 2.
    for tiles in [Tiles::pictures(0, 0), Tiles::pictures(1, 1), Tiles::pictures(2, 0), Tiles::pictures(3, 6)] {
        let error = in_tiles(&input, &tiles, same).unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{error}");
    }
    assert_eq!(
        in_tiles(&input, &Tiles::pictures(1, 8), same).unwrap_err().to_string(),
        "tiles of 1 rows that become 8 cannot overlap by 0.250; take a size of which this share is a whole number"
    );
    for side in [0, 1] {
        assert!(decoded_in_tiles(&input, side, same).is_err());
    }
    let mut tiles = Tiles::pictures(4, 4);
    tiles.columns.input = 2;
    tiles.rows.overlap = f64::NAN;
    assert!(matches!(in_tiles(&input, &tiles, same), Err(Error::Request(_))));
}

#[test]
fn networks_that_break_their_shapes_are_refused() {
    let input = Tensor::f32([1, 1, 8, 8], vec![1.0; 64]).unwrap();
    let mut calls = 0;
    let result = in_tiles(&input, &Tiles::pictures(4, 4), |_| {
        calls += 1;
        Tensor::f32([1, 1, 4, calls], vec![0.0; 4 * calls])
    });
    assert!(matches!(result, Err(Error::Shape(_))));
    assert!(matches!(in_tiles(&input, &Tiles::pictures(4, 4), |_| Tensor::f32([1], vec![0.0])), Err(Error::Shape(_))));
    assert!(matches!(decoded_in_tiles(&input, 4, |_| Tensor::f32([1, 1, 4, 5], vec![0.0; 20])), Err(Error::Shape(_))));
    let line = Tensor::f32([4], vec![0.0; 4]).unwrap();
    assert!(matches!(decoded_in_tiles(&line, 4, |tile| Ok(tile.clone())), Err(Error::Shape(_))));
}

/// The decoder of the tiny bundle looks at no neighbours, so tiles change nothing but roundings.
#[test]
fn a_pipeline_decodes_in_tiles() {
    let folder = copy_of_bundle();
    let path = folder.path().join("dmdx.json");
    let mut manifest = Manifest::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    manifest.latent_shape = vec![4, 9, 6];
    std::fs::write(path, manifest.to_json().unwrap()).unwrap();
    let bundle = Bundle::open(folder.path()).unwrap();
    let prompts = ["a red seven".to_string(), "a blue four".to_string()];
    let noise = dmdx_runtime::noise::latents(3, 0, 2, &manifest.latent_shape).unwrap();
    for engine in engines() {
        let whole = Pipeline::open(&bundle, engine.as_ref()).unwrap();
        let pictures = whole.generate(&prompts, &noise, &|_| {}).unwrap();
        let tiled = Pipeline::open(&bundle, engine.as_ref()).unwrap().with_vae_tiling(4).unwrap();
        let difference = difference(&tiled.generate(&prompts, &noise, &|_| {}).unwrap(), &pictures);
        assert!(difference < 1e-5, "{difference}");
        let impossible = Pipeline::open(&bundle, engine.as_ref()).unwrap().with_vae_tiling(3).unwrap();
        assert!(matches!(impossible.generate(&prompts, &noise, &|_| {}), Err(Error::Request(_))));
    }
}

//! Inception-v3 as torchvision builds it and as pytorch-fid patches it for the Fréchet distance.
//!
//! Neither library writes a `config.json`; this one is our own:
//!
//! ```json
//! {"_class_name": "InceptionV3", "variant": "fid", "image_size": 299, "resize_input": true, "normalize_input": true}
//! ```
//!
//! Tensors have the names of `torchvision.models.inception_v3`, which `pt_inception-2015-12-05` of pytorch-fid shares.

mod blocks;

use dmdx_graph::ir::{Interpolation, ReduceKind};
use dmdx_graph::{Graph, Op, Type, ValueId};
use serde_json::Value;

use super::config::Config;
use super::graphs::{ArchGraphs, Ignored};
use super::scope::Scope;
use crate::error::Result;
use blocks::{Pooling, basic_conv, valid};

const IGNORED: [Ignored; 2] = [
    Ignored { pattern: "AuxLogits.", reason: "the auxiliary classifier serves training only" },
    Ignored { pattern: ".num_batches_tracked", reason: "counts the batches of training" },
];

/// The smallest picture from which something is left at the end.
const SMALLEST_IMAGE: usize = 75;
/// The picture that the released weights were trained for.
const IMAGE: usize = 299;

/// Our own configuration.
struct InceptionConfig {
    /// `fid`: average pools do not count padding, and the last block pools by maximum.
    fid: bool,
    image_size: usize,
    resize_input: bool,
    normalize_input: bool,
    num_classes: usize,
}

impl InceptionConfig {
    fn read(config: &Config<'_>) -> Result<Self> {
        let fid = config.choice("variant", "torchvision", &["torchvision", "fid"])? == "fid";
        let image_size = config.size("image_size", IMAGE)?;
        if image_size < SMALLEST_IMAGE {
            return Err(config.refused("image_size", &format!("at least {SMALLEST_IMAGE} are needed")));
        }
        Ok(Self {
            fid,
            image_size,
            resize_input: config.flag("resize_input", false)?,
            normalize_input: config.flag("normalize_input", false)?,
            num_classes: config.size("num_classes", if fid { 1008 } else { 1000 })?,
        })
    }

    fn pooling(&self) -> Pooling {
        Pooling::Average { count_padding: !self.fid }
    }
}

/// The part `inception`: `pixel_values [b, 3, image_size, image_size]` → `features [b, 2048]`, the pooled result of the
/// last block, and `logits [b, num_classes]`.
///
/// Pictures are from -1 to 1, or from 0 to 1 with `normalize_input`; with `resize_input` they may have any size and are
/// interpolated linearly, as pytorch-fid does both.
pub(super) fn build(class: &str, value: &Value) -> Result<ArchGraphs> {
    let config = Config::new(class, value)?;
    let inception = InceptionConfig::read(&config)?;
    let mut graph = Graph::new(class);
    let b = graph.symbol("b", "batch", 1);
    let size = inception.image_size;
    let [height, width] = match inception.resize_input {
        true => [graph.symbol("h", "picture height", size), graph.symbol("w", "picture width", size)],
        false => [size.into(), size.into()],
    };
    let mut x = graph.input("pixel_values", Type::f32([b, 3.into(), height, width]))?;
    let mut scope = Scope::new(&mut graph);
    if inception.resize_input {
        x = scope.op(Op::Resize { mode: Interpolation::Bilinear, height: size.into(), width: size.into() }, &[x])?;
    }
    if inception.normalize_input {
        x = scope.affine(x, 2.0, -1.0)?;
    }
    let x = trunk(&mut scope, x, &inception)?;
    let features = scope.op(Op::Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: false }, &[x])?;
    let logits = scope.linear("fc", features, inception.num_classes, true)?;
    graph.output("features", features)?;
    graph.output("logits", logits)?;
    Ok(ArchGraphs {
        class: class.into(),
        parts: vec![("inception".into(), graph)],
        ignored: IGNORED.to_vec(),
        renames: Vec::new(),
        warnings: config.warnings(),
    })
}

fn trunk(m: &mut Scope<'_>, x: ValueId, inception: &InceptionConfig) -> Result<ValueId> {
    let x = basic_conv(m, "Conv2d_1a_3x3", x, 32, valid(3, 2))?;
    let x = basic_conv(m, "Conv2d_2a_3x3", x, 32, valid(3, 1))?;
    let x = blocks::same_conv(m, "Conv2d_2b_3x3", x, 64, [3, 3])?;
    let x = blocks::halving_pool(m, x)?;
    m.mark("maxpool1", x);
    let x = basic_conv(m, "Conv2d_3b_1x1", x, 80, valid(1, 1))?;
    let x = basic_conv(m, "Conv2d_4a_3x3", x, 192, valid(3, 1))?;
    let mut x = blocks::halving_pool(m, x)?;
    m.mark("maxpool2", x);
    let pooling = inception.pooling();
    for (name, pool_features) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
        x = m.module(name, |m| blocks::block_a(m, x, pool_features, pooling))?;
    }
    x = m.module("Mixed_6a", |m| blocks::block_b(m, x))?;
    for (name, width) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
        x = m.module(name, |m| blocks::block_c(m, x, width, pooling))?;
    }
    x = m.module("Mixed_7a", |m| blocks::block_d(m, x))?;
    x = m.module("Mixed_7b", |m| blocks::block_e(m, x, pooling))?;
    let last = if inception.fid { Pooling::Largest } else { pooling };
    m.module("Mixed_7c", |m| blocks::block_e(m, x, last))
}

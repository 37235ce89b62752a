//! `SamMaskDecoder`: from the picture's embedding and the points to masks and their expected quality.

use dmdx_graph::{Dim, Op, ValueId};

use super::two_way::{Streams, two_way};
use super::whole_config::WholeConfig;
use crate::arch::scope::Scope;
use crate::error::Result;

/// Fixed in `SamLayerNorm`, which the upscaling uses.
const UPSCALE_NORM_EPS: f64 = 1e-6;
/// Layers of the networks that turn mask tokens into filters.
const HYPERNETWORK_DEPTH: usize = 3;

/// `image [b, c, g, g]` (its dense prompt added), `positions [1, g*g, c]` and `points [b, p, n, c]` → masks
/// `[b, p, m, 4g, 4g]` as logits and scores `[b, p, m]`, the single-mask answer left out as by `multimask_output=True`.
pub(super) fn mask_decoder(
    m: &mut Scope<'_>,
    [image, positions, points]: [ValueId; 3],
    sam: &WholeConfig,
) -> Result<(ValueId, ValueId)> {
    let (width, grid) = (sam.hidden_size, m.dim(image, 2));
    let (b, p) = (m.dim(points, 0), m.dim(points, 1));
    let masks = sam.num_multimask_outputs + 1;
    let own = [m.child("iou_token").param("weight", &[1, width])?, m.child("mask_tokens").param("weight", &[masks, width])?];
    let own = m.concat(0, &own)?;
    let own = m.expand(own, [b.clone(), p.clone(), (1 + masks).into(), width.into()])?;
    let tokens = m.concat(2, &[own, points])?;

    let image = m.flatten_image(image)?;
    let area = m.dim(image, 1);
    let image = m.reshape(image, [b.clone(), 1.into(), area.clone(), width.into()])?;
    let image = m.expand(image, [b.clone(), p.clone(), area.clone(), width.into()])?;
    let image = m.reshape(image, [b.times(&p), 1.into(), area, width.into()])?;
    let mut transformer = m.child("transformer");
    let streams = two_way(&mut transformer, &Streams { tokens, image }, positions, sam)?;
    transformer.mark_self(streams.tokens);

    let filters = filters(m, streams.tokens, masks, sam)?;
    let image = m.reshape(streams.image, [b.times(&p), grid.clone(), grid.clone(), width.into()])?;
    let image = upscale(m, image, width)?;
    let side = m.dim(image, 1);
    let pixels = m.reshape(image, [b.clone(), p.clone(), side.times(&side), m.dim(image, 3)])?;
    let logits = m.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[filters, pixels])?;
    let logits = m.reshape(logits, [b.clone(), p.clone(), masks.into(), side.clone(), side])?;
    let logits = m.slice(logits, 2, 1, sam.num_multimask_outputs)?;

    let token = m.slice(streams.tokens, 2, 0, 1)?;
    let token = m.reshape(token, [b, p, width.into()])?;
    let widths = [sam.iou_head_hidden_dim, masks];
    let scores = feed_forward(m, "iou_prediction_head", token, widths, sam.iou_head_depth)?;
    let scores = m.slice(scores, 2, 1, sam.num_multimask_outputs)?;
    Ok((logits, scores))
}

/// One filter per mask token, `[b, p, masks, c/8]`.
fn filters(m: &mut Scope<'_>, tokens: ValueId, masks: usize, sam: &WholeConfig) -> Result<ValueId> {
    let width = sam.hidden_size;
    let (b, p) = (m.dim(tokens, 0), m.dim(tokens, 1));
    let mut filters = Vec::new();
    for i in 0..masks {
        let token = m.slice(tokens, 2, 1 + i, 1)?;
        let token = m.reshape(token, [b.clone(), p.clone(), width.into()])?;
        let name = format!("output_hypernetworks_mlps.{i}");
        let filter = feed_forward(m, &name, token, [width, width / 8], HYPERNETWORK_DEPTH)?;
        filters.push(m.reshape(filter, [b.clone(), p.clone(), 1.into(), (width / 8).into()])?);
    }
    m.concat(2, &filters)
}

/// `SamFeedForward`: `depth` linear layers (at least two) with ReLU between them.
fn feed_forward(m: &mut Scope<'_>, name: &str, x: ValueId, [wide, out]: [usize; 2], depth: usize) -> Result<ValueId> {
    m.module(name, |m| {
        let x = m.linear("proj_in", x, wide, true)?;
        let mut x = m.op(Op::Relu, &[x])?;
        for i in 0..depth.saturating_sub(2) {
            x = m.linear(&format!("layers.{i}"), x, wide, true)?;
            x = m.op(Op::Relu, &[x])?;
        }
        m.linear("proj_out", x, out, true)
    })
}

/// `x [n, g, g, c]` → `[n, 4g, 4g, c/8]`.
fn upscale(m: &mut Scope<'_>, x: ValueId, width: usize) -> Result<ValueId> {
    let x = double(m, "upscale_conv1", x, width / 4)?;
    let mut norm = m.child("upscale_layer_norm");
    let inputs = [x, norm.param("weight", &[width / 4])?, norm.param("bias", &[width / 4])?];
    let x = norm.op(Op::LayerNorm { eps: UPSCALE_NORM_EPS }, &inputs)?;
    let x = m.op(Op::Gelu { tanh: false }, &[x])?;
    let x = double(m, "upscale_conv2", x, width / 8)?;
    m.op(Op::Gelu { tanh: false }, &[x])
}

/// `torch.nn.ConvTranspose2d` with kernel and stride 2, channels last: every pixel becomes four by a matrix of its own.
/// `x [n, h, w, c]` → `[n, 2h, 2w, out]`.
fn double(m: &mut Scope<'_>, name: &str, x: ValueId, out: usize) -> Result<ValueId> {
    let mut m = m.child(name);
    let [n, h, w, from] = [m.dim(x, 0), m.dim(x, 1), m.dim(x, 2), m.dim(x, 3)];
    let weight = m.param("weight", &[m.size(x, 3), out, 2, 2])?;
    let weight = m.reshape(weight, [from.clone(), (4 * out).into()])?;
    let rows = m.reshape(x, [n.times(&h).times(&w), from])?;
    let y = m.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[rows, weight])?;
    let two = || Dim::constant(2);
    let y = m.reshape(y, [n.times(&h), w.clone(), out.into(), two(), two()])?;
    let y = m.permute(y, &[0, 3, 1, 4, 2])?;
    let y = m.reshape(y, [n, h.scaled(2), w.scaled(2), out.into()])?;
    let bias = m.param("bias", &[out])?;
    m.add(y, bias)
}

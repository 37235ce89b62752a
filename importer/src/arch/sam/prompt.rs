//! `SamPositionalEmbedding` and the half of `SamPromptEncoder` that takes points.

use std::f64::consts::TAU;

use dmdx_graph::{DType, Dim, Op, ValueId};

use super::whole_config::WholeConfig;
use crate::arch::scope::Scope;
use crate::error::Result;

/// Labels of points: background, a padding point that stands for nothing, outside the object, on the object.
const BACKGROUND: i32 = -1;
const PADDING: i32 = -10;
const OUTSIDE: i32 = 0;
const INSIDE: i32 = 1;

/// `coordinates [.., 2]` from -1 to 1, columns first → `[.., 2f]` by the random frequencies `table [2, f]`.
fn positional_embedding(m: &mut Scope<'_>, coordinates: ValueId, table: ValueId) -> Result<ValueId> {
    let angles = m.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[coordinates, table])?;
    let angles = m.affine(angles, TAU, 0.0)?;
    let parts = [m.op(Op::Sin, &[angles])?, m.op(Op::Cos, &[angles])?];
    m.concat(m.shape(angles).rank() - 1, &parts)
}

/// The positions of all patches, `[1, grid*grid, 2f]`: `SamModel.get_image_wide_positional_embeddings`.
pub(super) fn image_positions(m: &mut Scope<'_>, table: ValueId, grid: usize) -> Result<ValueId> {
    let corner = m.slice(table, 0, 0, 1)?;
    let corner = m.slice(corner, 1, 0, 1)?;
    let one = m.affine(corner, 0.0, 1.0)?;
    let ones = m.expand(one, [Dim::constant(1), 1.into(), grid.into(), grid.into()])?;
    // The share of the row up to and with each patch: a running sum of ones, divided by the grid's side.
    let pool = Op::AvgPool2d { kernel: [1, grid], stride: [1, 1], padding: [0, grid - 1, 0, 0], count_padding: true };
    let shares = m.op(pool, &[ones])?;
    // From 0..1 at the patch's right edge to -1..1 at its centre.
    let columns = m.affine(shares, 2.0, -1.0 - 1.0 / grid as f64)?;
    let rows = m.permute(columns, &[0, 1, 3, 2])?;
    let centres = m.concat(1, &[columns, rows])?;
    let centres = m.flatten_image(centres)?;
    positional_embedding(m, centres, table)
}

/// `points [b, p, n, 2]` in pixels and `labels [b, p, n]` → `[b, p, n + 1, c]`. As no boxes are given, the reference adds a
/// background point of its own.
pub(super) fn points(m: &mut Scope<'_>, points: ValueId, labels: ValueId, table: ValueId, sam: &WholeConfig) -> Result<ValueId> {
    let scale = 1.0 / sam.image_size as f64;
    // Centres of pixels, from 0..size to -1..1.
    let coordinates = m.affine(points, 2.0 * scale, scale - 1.0)?;
    let positions = positional_embedding(m, coordinates, table)?;

    let dims = m.shape(labels).0;
    let labels = m.op(Op::Cast { dtype: DType::F32 }, &[labels])?;
    let labels = m.reshape(labels, [&dims[..], &[1.into()]].concat())?;
    let [background, padding, outside, inside] = [BACKGROUND, PADDING, OUTSIDE, INSIDE].map(|label| equals(m, labels, label));
    let background = background?;
    let nowhere = m.add(background, padding?)?;
    let somewhere = m.affine(nowhere, -1.0, 1.0)?;
    let width = [1, sam.hidden_size];
    let stands_for_none = m.child("not_a_point_embed").param("weight", &width)?;
    let mut sum = m.op(Op::Mul, &[positions, somewhere])?;
    for (chosen, embedding) in [
        (background, stands_for_none),
        (outside?, m.child("point_embed.0").param("weight", &width)?),
        (inside?, m.child("point_embed.1").param("weight", &width)?),
    ] {
        let term = m.op(Op::Mul, &[chosen, embedding])?;
        sum = m.add(sum, term)?;
    }
    let added = m.expand(stands_for_none, [m.dim(sum, 0), m.dim(sum, 1), 1.into(), sam.hidden_size.into()])?;
    m.concat(2, &[sum, added])
}

/// 1 where the label is this one and 0 elsewhere: labels are whole numbers.
fn equals(m: &mut Scope<'_>, labels: ValueId, label: i32) -> Result<ValueId> {
    let distance = m.affine(labels, 1.0, -f64::from(label))?;
    let square = m.op(Op::Mul, &[distance, distance])?;
    let reversed = m.affine(square, -1.0, 1.0)?;
    m.op(Op::Clamp { min: 0.0, max: 1.0 }, &[reversed])
}

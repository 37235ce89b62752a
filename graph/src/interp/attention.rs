//! Scaled dot-product attention and SAM's relative position bias.

use ndarray::{ArrayD, Axis};
use rayon::prelude::*;

use super::dense::{matrix, product};
use super::shape;
use super::tensor::{expect, from_vec, row_major, sizes};
use crate::error::RunError;

type Floats = ArrayD<f64>;

/// `softmax(scale * q kᵀ + bias) v` for every batch entry and head.
pub(super) fn sdpa(
    q: &Floats,
    k: &Floats,
    v: &Floats,
    bias: Option<&Floats>,
    scale: f64,
    causal: bool,
) -> Result<Floats, RunError> {
    let [batch, heads, queries, width] = sizes(q, "q")?;
    let [_, _, keys, _] = sizes(k, "k")?;
    let [_, _, _, value_width] = sizes(v, "v")?;
    expect(k, &[batch, heads, keys, width], "k")?;
    expect(v, &[batch, heads, keys, value_width], "v")?;
    if causal && queries != keys {
        return Err(RunError::Causal { keys, queries });
    }
    let bias = bias.map(|bias| shape::expand(bias, &[batch, heads, queries, keys])).transpose()?;
    let bias = bias.as_ref().map(row_major);
    let (q, k, v) = (row_major(q), row_major(k), row_major(v));
    let heads_done: Result<Vec<Vec<f64>>, RunError> = (0..batch * heads)
        .into_par_iter()
        .map(|i| {
            let q = matrix(&q[i * queries * width..], queries, width)?;
            let k = matrix(&k[i * keys * width..], keys, width)?;
            let v = matrix(&v[i * keys * value_width..], keys, value_width)?;
            let mut scores = product(q, k.reversed_axes());
            for (position, score) in scores.iter_mut().enumerate() {
                *score *= scale;
                if let Some(bias) = &bias {
                    *score += bias[i * queries * keys + position];
                }
                if causal && position % keys > position / keys {
                    *score = f64::NEG_INFINITY;
                }
            }
            for row in scores.chunks_mut(keys.max(1)) {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                row.iter_mut().for_each(|score| *score = (*score - largest).exp());
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|score| *score /= sum);
            }
            Ok(product(matrix(&scores, queries, keys)?, v))
        })
        .collect();
    from_vec(heads_done?.concat(), &[batch, heads, queries, value_width])
}

/// `bias[b, h, (y, x), (ky, kx)] = q[b, h, (y, x)] · (rel_h[y - ky + height - 1]) + q · (rel_w[x - kx + width - 1])`.
pub(super) fn rel_pos2d(q: &Floats, rel_h: &Floats, rel_w: &Floats, height: usize, width: usize) -> Result<Floats, RunError> {
    let [batch, heads, tokens, head_width] = sizes(q, "q")?;
    if height == 0 || width == 0 || height.checked_mul(width) != Some(tokens) {
        return Err(RunError::Grid { tokens, height, width });
    }
    expect(rel_h, &[2 * height - 1, head_width], "rel_h")?;
    expect(rel_w, &[2 * width - 1, head_width], "rel_w")?;
    let queries = matrix_of(q, batch * heads * tokens, head_width)?;
    let vertical = queries.dot(&matrix_of(rel_h, 2 * height - 1, head_width)?.t());
    let horizontal = queries.dot(&matrix_of(rel_w, 2 * width - 1, head_width)?.t());
    let mut result = Vec::with_capacity(batch * heads * tokens * tokens);
    for (row, (vertical, horizontal)) in vertical.axis_iter(Axis(0)).zip(horizontal.axis_iter(Axis(0))).enumerate() {
        let (y, x) = (row % tokens / width, row % width);
        for key_y in 0..height {
            for key_x in 0..width {
                result.push(vertical[y + height - 1 - key_y] + horizontal[x + width - 1 - key_x]);
            }
        }
    }
    from_vec(result, &[batch, heads, tokens, tokens])
}

fn matrix_of(x: &Floats, rows: usize, columns: usize) -> Result<ndarray::Array2<f64>, RunError> {
    Ok(matrix(&row_major(x), rows, columns)?.to_owned())
}

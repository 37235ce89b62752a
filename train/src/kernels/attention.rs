//! Scaled dot-product attention and its gradients, one head at a time.

use rayon::prelude::*;

use super::elementwise::{softmax_backward_lines, softmax_lines};
use super::matrix::{Matrix, Workspace};

/// Sizes of one attention; `heads` counts batch times heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
    pub(super) value_width: usize,
    pub(super) scale: f32,
    pub(super) causal: bool,
}

/// An additive bias, broadcast to `[batch, heads, queries, keys]` by strides of 0.
pub(super) struct Bias<'a> {
    pub(super) data: &'a [f32],
    pub(super) strides: [usize; 4],
    /// Heads per batch element.
    pub(super) per_batch: usize,
}

impl Bias<'_> {
    fn add(&self, head: usize, first: usize, scores: &mut [f32], keys: usize) {
        let base = head / self.per_batch * self.strides[0] + head % self.per_batch * self.strides[1];
        for (row, line) in scores.chunks_exact_mut(keys).enumerate() {
            let from = base + (first + row) * self.strides[2];
            if self.strides[3] == 1 {
                for (score, value) in line.iter_mut().zip(&self.data[from..from + keys]) {
                    *score += value;
                }
            } else {
                for score in line {
                    *score += self.data[from];
                }
            }
        }
    }
}

/// The result `[heads, queries, value_width]` and, with `keep`, the probabilities `[heads, queries, keys]`.
pub(super) fn forward(q: &[f32], k: &[f32], v: &[f32], bias: Option<&Bias>, h: &Heads, keep: bool) -> (Vec<f32>, Vec<f32>) {
    let mut out = vec![0.0; h.heads * h.queries * h.value_width];
    let mut kept = vec![0.0; if keep { h.heads * h.queries * h.keys } else { 0 }];
    if out.is_empty() || h.keys == 0 {
        return (out, kept);
    }
    // Long sequences are cut so that the scores of one task stay small; pieces are equal within every head.
    let rows =
        (1..=h.queries.min(256)).rev().find(|n| h.queries.is_multiple_of(*n) && *n >= h.queries.min(64)).unwrap_or(h.queries);
    let pieces = h.queries / rows;
    let run = |scratch: &mut (Workspace, Vec<f32>), index: usize, out: &mut [f32], kept: Option<&mut [f32]>| {
        let (head, first) = (index / pieces, index % pieces * rows);
        let q = Matrix::new(&q[(head * h.queries + first) * h.width..][..rows * h.width], rows, h.width);
        let k = Matrix::new(&k[head * h.keys * h.width..][..h.keys * h.width], h.keys, h.width);
        let v = Matrix::new(&v[head * h.keys * h.value_width..][..h.keys * h.value_width], h.keys, h.value_width);
        let (workspace, buffer) = scratch;
        let scores = match kept {
            Some(kept) => kept,
            None => {
                buffer.resize(rows * h.keys, 0.0);
                buffer.as_mut_slice()
            }
        };
        workspace.product(q, k.transposed(), scores);
        for score in scores.iter_mut() {
            *score *= h.scale;
        }
        if let Some(bias) = bias {
            bias.add(head, first, scores, h.keys);
        }
        if h.causal {
            for (row, line) in scores.chunks_exact_mut(h.keys).enumerate() {
                let open = (first + row + 1).min(h.keys);
                line[open..].fill(f32::NEG_INFINITY);
            }
        }
        softmax_lines(scores, h.keys);
        workspace.product(Matrix::new(scores, rows, h.keys), v, out);
    };
    let start = || (Workspace::default(), Vec::new());
    let outputs = out.par_chunks_mut(rows * h.value_width).enumerate();
    if keep {
        outputs
            .zip(kept.par_chunks_mut(rows * h.keys))
            .for_each_init(start, |scratch, ((index, out), kept)| run(scratch, index, out, Some(kept)));
    } else {
        outputs.for_each_init(start, |scratch, (index, out)| run(scratch, index, out, None));
    }
    (out, kept)
}

/// Gradients of query, key, value and of the scores before the softmax (the last only with `scores`).
pub(super) struct Gradients {
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) scores: Vec<f32>,
}

/// The gradients from that of the result and the kept probabilities.
pub(super) fn backward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    probabilities: &[f32],
    gradient: &[f32],
    h: &Heads,
    scores: bool,
) -> Gradients {
    let mut out = Gradients {
        q: vec![0.0; q.len()],
        k: vec![0.0; k.len()],
        v: vec![0.0; v.len()],
        scores: vec![0.0; if scores { probabilities.len() } else { 0 }],
    };
    let area = h.queries * h.keys;
    if area == 0 || h.width == 0 || h.value_width == 0 {
        return out;
    }
    let run = |scratch: &mut (Workspace, Vec<f32>),
               head: usize,
               dq: &mut [f32],
               dk: &mut [f32],
               dv: &mut [f32],
               ds: Option<&mut [f32]>| {
        let q = Matrix::new(&q[head * h.queries * h.width..][..h.queries * h.width], h.queries, h.width);
        let k = Matrix::new(&k[head * h.keys * h.width..][..h.keys * h.width], h.keys, h.width);
        let v = Matrix::new(&v[head * h.keys * h.value_width..][..h.keys * h.value_width], h.keys, h.value_width);
        let p = &probabilities[head * area..][..area];
        let dy = &gradient[head * h.queries * h.value_width..][..h.queries * h.value_width];
        let dy = Matrix::new(dy, h.queries, h.value_width);
        let (workspace, buffer) = scratch;
        workspace.product(Matrix::new(p, h.queries, h.keys).transposed(), dy, dv);
        let ds = match ds {
            Some(ds) => ds,
            None => {
                buffer.resize(area, 0.0);
                buffer.as_mut_slice()
            }
        };
        workspace.product(dy, v.transposed(), ds);
        softmax_backward_lines(p, ds, h.keys);
        workspace.product(Matrix::new(ds, h.queries, h.keys), k, dq);
        workspace.product(Matrix::new(ds, h.queries, h.keys).transposed(), q, dk);
        for value in dq.iter_mut().chain(dk) {
            *value *= h.scale;
        }
    };
    let start = || (Workspace::default(), Vec::new());
    let outputs = out
        .q
        .par_chunks_mut(h.queries * h.width)
        .zip(out.k.par_chunks_mut(h.keys * h.width))
        .zip(out.v.par_chunks_mut(h.keys * h.value_width))
        .enumerate();
    if scores {
        outputs
            .zip(out.scores.par_chunks_mut(area))
            .for_each_init(start, |scratch, ((head, ((dq, dk), dv)), ds)| run(scratch, head, dq, dk, dv, Some(ds)));
    } else {
        outputs.for_each_init(start, |scratch, (head, ((dq, dk), dv))| run(scratch, head, dq, dk, dv, None));
    }
    out
}

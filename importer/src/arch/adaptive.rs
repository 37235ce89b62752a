//! What the diffusion transformers of diffusers share: vectors made of the condition, norms that they modulate, and the
//! feed-forward layer.

use dmdx_graph::{Dim, Op, ValueId};

use super::scope::Scope;
use crate::error::Result;

/// The longest period of all sinusoidal embeddings of diffusers.
pub(super) const MAX_PERIOD: f64 = 10_000.0;

/// `TimestepEmbedding`, and `PixArtAlphaTextProjection`, which calls its activation `act_1`: two linear layers of one
/// width around SiLU.
pub(super) fn condition_mlp(scope: &mut Scope<'_>, name: &str, activation: &str, x: ValueId, width: usize) -> Result<ValueId> {
    scope.module(name, |m| {
        let x = m.linear("linear_1", x, width, true)?;
        let x = m.module(activation, |m| m.op(Op::Silu, &[x]))?;
        m.linear("linear_2", x, width, true)
    })
}

/// The beginning of every adaptive norm: `N` vectors `[b, width]` made of `condition [b, d]`.
pub(super) fn modulation<const N: usize>(m: &mut Scope<'_>, condition: ValueId, width: usize) -> Result<[ValueId; N]> {
    let x = m.module("silu", |m| m.op(Op::Silu, &[condition]))?;
    let x = m.linear("linear", x, N * width, true)?;
    let mut parts = [x; N];
    for (i, part) in parts.iter_mut().enumerate() {
        *part = m.slice(x, 1, i * width, width)?;
    }
    Ok(parts)
}

/// `torch.nn.LayerNorm` without parameters.
pub(super) fn plain_norm(m: &mut Scope<'_>, name: &str, x: ValueId, eps: f64) -> Result<ValueId> {
    m.module(name, |m| m.op(Op::LayerNorm { eps }, &[x]))
}

/// `x * (1 + scale) + shift` for `x [b, s, c]` and vectors `[b, c]`.
pub(super) fn modulate(m: &mut Scope<'_>, x: ValueId, [shift, scale]: [ValueId; 2]) -> Result<ValueId> {
    let (shift, scale) = (for_all_tokens(m, shift)?, for_all_tokens(m, scale)?);
    let scale = m.affine(scale, 1.0, 1.0)?;
    let x = m.op(Op::Mul, &[x, scale])?;
    m.add(x, shift)
}

/// `x + gate * y` for `x, y [b, s, c]` and a vector `[b, c]`.
pub(super) fn add_gated(m: &mut Scope<'_>, x: ValueId, gate: ValueId, y: ValueId) -> Result<ValueId> {
    let gate = for_all_tokens(m, gate)?;
    let y = m.op(Op::Mul, &[gate, y])?;
    m.add(x, y)
}

/// `[b, c]` → `[b, 1, c]`.
fn for_all_tokens(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let dims = [m.dim(x, 0), 1.into(), m.dim(x, 1)];
    m.reshape(x, dims)
}

/// `FeedForward` with GELU: four times as wide inside.
pub(super) fn feed_forward(scope: &mut Scope<'_>, name: &str, x: ValueId, tanh: bool) -> Result<ValueId> {
    let width = scope.size(x, 2);
    scope.module(name, |m| {
        let x = m.module("net.0", |m| {
            let x = m.linear("proj", x, 4 * width, true)?;
            m.op(Op::Gelu { tanh }, &[x])
        })?;
        m.linear("net.2", x, width, true)
    })
}

/// Tokens that stand for patches, `[n, h*w, c*patch*patch]` with the pixels of a patch in row-major order behind or before
/// its channels, → `[n, c, h*patch, w*patch]`.
pub(super) fn unpatchify(m: &mut Scope<'_>, x: ValueId, grid: [&Dim; 2], patch: usize, channels_last: bool) -> Result<ValueId> {
    let [h, w] = grid;
    let (batch, side) = (m.dim(x, 0), Dim::constant(patch));
    let channels = Dim::constant(m.size(x, 2) / (patch * patch).max(1));
    let pixels = match channels_last {
        true => [side.clone(), side, channels.clone()],
        false => [channels.clone(), side.clone(), side],
    };
    let dims = [batch.clone(), h.clone(), w.clone()].into_iter().chain(pixels);
    let x = m.reshape(x, dims.collect::<Vec<_>>())?;
    let x = m.permute(x, if channels_last { &[0, 5, 1, 3, 2, 4] } else { &[0, 3, 1, 4, 2, 5] })?;
    m.reshape(x, [batch, channels, h.scaled(patch), w.scaled(patch)])
}

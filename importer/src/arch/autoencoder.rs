//! What the autoencoders of diffusers share: the symbols of their latents, and the end of their encoders.

use dmdx_graph::{Dim, Graph, Op, ValueId};

use super::scope::Scope;
use crate::error::Result;

/// Limits of the logarithm of the variance (`DiagonalGaussianDistribution`).
const LOGVAR_RANGE: (f64, f64) = (-30.0, 20.0);

/// Batch, latent height and latent width of a network that was trained on pictures of `height` and `width`, each level but
/// the first of which halves them.
pub(super) fn latent_symbols(graph: &mut Graph, [height, width]: [usize; 2], levels: usize) -> [Dim; 3] {
    let usual = |size: usize| (size >> levels.saturating_sub(1)).max(1);
    let b = graph.symbol("b", "batch", 1);
    [b, graph.symbol("h", "latent height", usual(height)), graph.symbol("w", "latent width", usual(width))]
}

/// `DiagonalGaussianDistribution`: `moments [b, 2*channels, ..]` → `mean, logvar [b, channels, ..]`.
pub(super) fn mean_and_logvar(scope: &mut Scope<'_>, moments: ValueId, channels: usize) -> Result<[ValueId; 2]> {
    let mean = scope.slice(moments, 1, 0, channels)?;
    let logvar = scope.slice(moments, 1, channels, channels)?;
    let (min, max) = LOGVAR_RANGE;
    Ok([mean, scope.op(Op::Clamp { min, max }, &[logvar])?])
}

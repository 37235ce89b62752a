//! Norms of the decoder, which the latent scales and shifts (`CogVideoXSpatialNorm3D`).

use std::collections::BTreeMap;

use dmdx_graph::{Op, ValueId};

use super::conv::pointwise_causal_conv;
use super::frames;
use crate::arch::scope::Scope;
use crate::error::Result;

/// Fixed in `CogVideoXSpatialNorm3D`.
const NORM_EPS: f64 = 1e-6;

/// The latent frames of one batch and what they are enlarged to.
pub(super) struct SpatialCondition {
    latent: ValueId,
    /// How often the present height and width are the latent's.
    scale: usize,
    /// By frames and scale: several norms share one enlargement.
    enlarged: BTreeMap<(usize, usize), ValueId>,
}

impl SpatialCondition {
    /// The condition of a batch whose latent is `latent [b, l, f, h, w]`.
    pub(super) fn new(latent: ValueId) -> Self {
        Self { latent, scale: 1, enlarged: BTreeMap::new() }
    }

    /// Height and width have doubled.
    pub(super) fn double(&mut self) {
        self.scale *= 2;
    }

    /// The latent with as many frames, rows and columns as the video has now.
    fn enlarged(&mut self, m: &mut Scope<'_>, frames: usize) -> Result<ValueId> {
        if let Some(&value) = self.enlarged.get(&(frames, self.scale)) {
            return Ok(value);
        }
        let mut x = frames::stretch(m, self.latent, frames)?;
        if self.scale > 1 {
            let [batch, channels, height, width] = [0, 1, 3, 4].map(|axis| m.dim(x, axis));
            let maps = m.reshape(x, [batch.clone(), channels.scaled(frames), height.clone(), width.clone()])?;
            let maps = m.op(Op::UpNearest { factor: self.scale }, &[maps])?;
            let (height, width) = (height.scaled(self.scale), width.scaled(self.scale));
            x = m.reshape(maps, [batch, channels, frames.into(), height, width])?;
        }
        self.enlarged.insert((frames, self.scale), x);
        Ok(x)
    }
}

/// `x [b, c, f, h, w]`, normed, times one map of the latent, plus another.
pub(super) fn spatial_norm(
    m: &mut Scope<'_>,
    name: &str,
    x: ValueId,
    groups: usize,
    condition: &mut SpatialCondition,
) -> Result<ValueId> {
    let (channels, frames) = (m.size(x, 1), m.size(x, 2));
    m.module(name, |m| {
        let latent = condition.enlarged(m, frames)?;
        let scale = pointwise_causal_conv(m, "conv_y", latent, channels)?;
        let shift = pointwise_causal_conv(m, "conv_b", latent, channels)?;
        let normed = m.group_norm("norm_layer", x, groups, NORM_EPS)?;
        let scaled = m.op(Op::Mul, &[normed, scale])?;
        m.add(scaled, shift)
    })
}

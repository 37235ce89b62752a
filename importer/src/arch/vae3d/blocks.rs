//! What encoder and decoder are made of.

use dmdx_graph::{Op, ValueId};

use super::config::VideoVaeConfig;
use super::conv::{Cache, causal_conv, pointwise_conv};
use super::frames;
use super::norm::{SpatialCondition, spatial_norm};
use crate::arch::resnet;
use crate::arch::scope::Scope;
use crate::error::Result;

/// Fixed in `CogVideoXEncoder3D`.
const NORM_OUT_EPS: f64 = 1e-6;

/// Residual blocks in the middle.
const MID_LAYERS: usize = 2;

/// One batch of frames on its way through a half.
pub(super) struct Pass<'p> {
    pub vae: &'p VideoVaeConfig,
    /// Shared by all batches.
    pub cache: &'p mut Cache,
    /// The decoder's norms depend on the latent.
    pub condition: Option<SpatialCondition>,
}

impl Pass<'_> {
    /// `CogVideoXMidBlock3D`.
    pub(super) fn mid_block(&mut self, m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
        let channels = m.size(x, 1);
        m.module("mid_block", |m| self.resnets(m, x, channels, MID_LAYERS))
    }

    /// Residual blocks, the first of which may change the number of channels.
    pub(super) fn resnets(&mut self, m: &mut Scope<'_>, x: ValueId, channels: usize, count: usize) -> Result<ValueId> {
        (0..count).try_fold(x, |x, i| m.module(&format!("resnets.{i}"), |m| self.resnet(m, x, channels)))
    }

    /// `CogVideoXResnetBlock3D` without a timestep.
    fn resnet(&mut self, m: &mut Scope<'_>, x: ValueId, channels: usize) -> Result<ValueId> {
        let mut hidden = self.norm_silu(m, "norm1", "nonlinearity", x, self.vae.norm_eps)?;
        hidden = causal_conv(m, "conv1", hidden, channels, self.cache)?;
        hidden = self.norm_silu(m, "norm2", "nonlinearity", hidden, self.vae.norm_eps)?;
        hidden = causal_conv(m, "conv2", hidden, channels, self.cache)?;
        let input = if m.size(x, 1) == channels { x } else { pointwise_conv(m, "conv_shortcut", x, channels)? };
        m.add(hidden, input)
    }

    /// A norm and SiLU. The result is marked as that of the module `act`.
    fn norm_silu(&mut self, m: &mut Scope<'_>, norm: &str, act: &str, x: ValueId, eps: f64) -> Result<ValueId> {
        let groups = self.vae.norm_num_groups;
        let result = match &mut self.condition {
            None => m.group_norm_silu(norm, x, groups, eps)?,
            Some(condition) => {
                let normed = spatial_norm(m, norm, x, groups, condition)?;
                m.op(Op::Silu, &[normed])?
            }
        };
        m.mark(act, result);
        Ok(result)
    }

    /// The last three modules of both halves.
    pub(super) fn head(&mut self, m: &mut Scope<'_>, x: ValueId, channels: usize) -> Result<ValueId> {
        let x = self.norm_silu(m, "norm_out", "conv_act", x, NORM_OUT_EPS)?;
        causal_conv(m, "conv_out", x, channels, self.cache)
    }

    /// `CogVideoXDownsample3D`: half the height and width, and with `time` half the frames.
    pub(super) fn downsample(&mut self, m: &mut Scope<'_>, x: ValueId, time: bool) -> Result<ValueId> {
        let x = if time { frames::halve(m, x)? } else { x };
        let x = frames::each_frame(m, x, |m, x| resnet::downsample(m, x, 0))?;
        m.mark("downsamplers.0", x);
        Ok(x)
    }

    /// `CogVideoXUpsample3D`: twice the height and width, and with `time` twice the frames.
    pub(super) fn upsample(&mut self, m: &mut Scope<'_>, x: ValueId, time: bool) -> Result<ValueId> {
        let frames = m.size(x, 2);
        let x = if time { frames::stretch(m, x, frames::doubled(frames))? } else { x };
        let x = frames::each_frame(m, x, resnet::upsample)?;
        m.mark("upsamplers.0", x);
        if let Some(condition) = &mut self.condition {
            condition.double();
        }
        Ok(x)
    }
}

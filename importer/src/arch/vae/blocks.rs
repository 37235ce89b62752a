//! What encoder and decoder share.

use dmdx_graph::{Op, ValueId};

use super::config::VaeConfig;
use crate::arch::resnet::{ResnetStyle, resnet};
use crate::arch::scope::{Conv, Scope};
use crate::error::Result;

/// Fixed in `Encoder` and `Decoder`.
const NORM_EPS: f64 = 1e-6;

/// `ResnetBlock2D` without a timestep.
pub(super) fn plain_resnet(m: &mut Scope<'_>, i: usize, x: ValueId, channels: usize, vae: &VaeConfig) -> Result<ValueId> {
    let style = ResnetStyle { groups: vae.norm_num_groups, eps: NORM_EPS, output_scale: 1.0 };
    resnet(m, &format!("resnets.{i}"), x, None, channels, style)
}

/// `UNetMidBlock2D`: residual block, attention with one head, residual block.
pub(super) fn mid_block(scope: &mut Scope<'_>, x: ValueId, vae: &VaeConfig) -> Result<ValueId> {
    let channels = scope.size(x, 1);
    scope.module("mid_block", |m| {
        let mut x = plain_resnet(m, 0, x, channels, vae)?;
        if vae.mid_block_add_attention {
            x = m.module("attentions.0", |m| attention(m, x, vae.norm_num_groups))?;
        }
        plain_resnet(m, 1, x, channels, vae)
    })
}

fn attention(m: &mut Scope<'_>, x: ValueId, groups: usize) -> Result<ValueId> {
    let channels = m.size(x, 1);
    let normed = m.group_norm("group_norm", x, groups, NORM_EPS)?;
    // The reference norms flattened pictures, `[b, c, h*w]`.
    let dims = [m.dim(x, 0), channels.into(), m.dim(x, 2).times(&m.dim(x, 3))];
    let flat = m.reshape(normed, dims)?;
    m.mark("group_norm", flat);
    let tokens = m.permute(flat, &[0, 2, 1])?;
    let q = m.linear("to_q", tokens, channels, true)?;
    let k = m.linear("to_k", tokens, channels, true)?;
    let v = m.linear("to_v", tokens, channels, true)?;
    let attended = m.attention([q, k, v], 1, false)?;
    let attended = m.linear("to_out.0", attended, channels, true)?;
    let attended = m.unflatten_image(attended, x)?;
    m.add(attended, x)
}

/// The last three modules of both halves.
pub(super) fn head(m: &mut Scope<'_>, x: ValueId, channels: usize, vae: &VaeConfig) -> Result<ValueId> {
    let x = m.group_norm("conv_norm_out", x, vae.norm_num_groups, NORM_EPS)?;
    let x = m.module("conv_act", |m| m.op(Op::Silu, &[x]))?;
    m.conv2d("conv_out", x, channels, Conv::same(3))
}

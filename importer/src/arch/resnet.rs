//! Convolutional building blocks that UNets and autoencoders share (`diffusers.models.resnet`, `…downsampling`,
//! `…upsampling`).

use dmdx_graph::{Op, ValueId};

use super::scope::{Conv, Scope};
use crate::error::Result;

/// How a network's residual blocks normalise.
#[derive(Clone, Copy)]
pub(super) struct ResnetStyle {
    /// Groups of every norm.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Divides the sum of input and residual.
    pub output_scale: f64,
}

/// `ResnetBlock2D` at `name`: `x [n, c, h, w]` → `[n, channels, h, w]`; `time [n, t]` shifts it if given.
pub(super) fn resnet(
    scope: &mut Scope<'_>,
    name: &str,
    x: ValueId,
    time: Option<ValueId>,
    channels: usize,
    style: ResnetStyle,
) -> Result<ValueId> {
    scope.module(name, |m| {
        let mut hidden = m.group_norm_silu("norm1", x, style.groups, style.eps)?;
        hidden = m.conv2d("conv1", hidden, channels, Conv::same(3))?;
        if let Some(time) = time {
            let shift = m.op(Op::Silu, &[time])?;
            let shift = m.linear("time_emb_proj", shift, channels, true)?;
            let dims = [m.dim(shift, 0), channels.into(), 1.into(), 1.into()];
            let shift = m.reshape(shift, dims)?;
            hidden = m.add(hidden, shift)?;
        }
        hidden = m.group_norm_silu("norm2", hidden, style.groups, style.eps)?;
        hidden = m.conv2d("conv2", hidden, channels, Conv::same(3))?;
        let input = if m.size(x, 1) == channels { x } else { m.conv2d("conv_shortcut", x, channels, Conv::same(1))? };
        let sum = m.add(input, hidden)?;
        if style.output_scale == 1.0 {
            return Ok(sum);
        }
        m.op(Op::Affine { mul: 1.0 / style.output_scale, add: 0.0 }, &[sum])
    })
}

/// `Downsample2D` with a convolution: half the height and width. `padding` 0 pads below and to the right only.
pub(super) fn downsample(scope: &mut Scope<'_>, x: ValueId, padding: usize) -> Result<ValueId> {
    let channels = scope.size(x, 1);
    let padding = if padding == 0 { [0, 0, 1, 1] } else { [padding; 4] };
    scope.module("downsamplers.0", |m| m.conv2d("conv", x, channels, Conv { kernel: 3, stride: 2, padding, bias: true }))
}

/// `Upsample2D` with a convolution: twice the height and width.
pub(super) fn upsample(scope: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let channels = scope.size(x, 1);
    scope.module("upsamplers.0", |m| {
        let x = m.op(Op::UpNearest { factor: 2 }, &[x])?;
        m.conv2d("conv", x, channels, Conv::same(3))
    })
}

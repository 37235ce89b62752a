//! Convolutions over videos (`CogVideoXCausalConv3d`, `CogVideoXSafeConv3d`).

use std::collections::BTreeMap;

use dmdx_graph::{Op, ValueId};

use crate::arch::scope::Scope;
use crate::error::Result;

/// Side of the causal kernels in all three directions.
const KERNEL: usize = 3;

/// What each causal convolution, by its path, read in the batch of frames before: its last frames go before the next.
pub(super) type Cache = BTreeMap<String, ValueId>;

/// A convolution that sees no later frame: before the video stand the last frames of the batch before, or else copies of
/// the first one.
pub(super) fn causal_conv(m: &mut Scope<'_>, name: &str, x: ValueId, channels: usize, cache: &mut Cache) -> Result<ValueId> {
    m.module(name, |m| {
        let before = match cache.get(m.path()).copied() {
            Some(previous) => {
                let frames = m.size(previous, 2);
                m.slice(previous, 2, frames - (KERNEL - 1), KERNEL - 1)?
            }
            None => {
                let first = m.slice(x, 2, 0, 1)?;
                let mut dims = m.shape(first).0;
                dims[2] = (KERNEL - 1).into();
                m.expand(first, dims)?
            }
        };
        let x = m.concat(2, &[before, x])?;
        cache.insert(m.path().into(), x);
        m.module("conv", |m| conv(m, x, channels, KERNEL))
    })
}

/// A causal convolution with a kernel of 1, which sees single elements.
pub(super) fn pointwise_causal_conv(m: &mut Scope<'_>, name: &str, x: ValueId, channels: usize) -> Result<ValueId> {
    m.module(name, |m| m.module("conv", |m| conv(m, x, channels, 1)))
}

/// A plain convolution with a kernel of 1.
pub(super) fn pointwise_conv(m: &mut Scope<'_>, name: &str, x: ValueId, channels: usize) -> Result<ValueId> {
    m.module(name, |m| conv(m, x, channels, 1))
}

/// Keeps height and width; time is not padded.
fn conv(m: &mut Scope<'_>, x: ValueId, channels: usize, kernel: usize) -> Result<ValueId> {
    let from = m.size(x, 1);
    let inputs = [x, m.param("weight", &[channels, from, kernel, kernel, kernel])?, m.param("bias", &[channels])?];
    let side = (kernel - 1) / 2;
    let padding = [0, side, side, 0, side, side];
    m.op(Op::Conv3d { stride: [1; 3], padding, dilation: [1; 3], groups: 1 }, &inputs)
}

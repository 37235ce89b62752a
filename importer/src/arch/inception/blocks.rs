//! The blocks of Inception-v3: branches side by side, joined along the channels.

use dmdx_graph::{Op, ValueId};

use crate::arch::scope::Scope;
use crate::error::Result;

/// Fixed in `BasicConv2d`.
const BATCH_NORM_EPS: f64 = 1e-3;

/// How the last branch of a block pools over 3×3 neighbours.
#[derive(Clone, Copy)]
pub(super) enum Pooling {
    /// The mean.
    Average {
        /// Padding counts as zeros.
        count_padding: bool,
    },
    /// The largest.
    Largest,
}

/// Kernel, stride and padding of a convolution, each vertical and horizontal.
#[derive(Clone, Copy)]
pub(super) struct Window {
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 2],
}

/// A square kernel without padding.
pub(super) fn valid(kernel: usize, stride: usize) -> Window {
    Window { kernel: [kernel; 2], stride, padding: [0; 2] }
}

/// `BasicConv2d`: convolution without bias, batch norm by its running statistics, ReLU.
pub(super) fn basic_conv(m: &mut Scope<'_>, name: &str, x: ValueId, channels: usize, window: Window) -> Result<ValueId> {
    let from = m.size(x, 1);
    m.module(name, |m| {
        let [height, width] = window.kernel;
        let weight = m.child("conv").param("weight", &[channels, from, height, width])?;
        let [vertical, horizontal] = window.padding;
        let padding = [vertical, horizontal, vertical, horizontal];
        let conv = Op::Conv2d { stride: [window.stride; 2], padding, dilation: [1; 2], groups: 1 };
        let x = m.op(conv, &[x, weight])?;
        let x = batch_norm(&mut m.child("bn"), x, channels)?;
        m.op(Op::Relu, &[x])
    })
}

/// `torch.nn.BatchNorm2d` in evaluation: a factor and an offset per channel.
fn batch_norm(m: &mut Scope<'_>, x: ValueId, channels: usize) -> Result<ValueId> {
    let mut param = |name| m.param(name, &[channels]);
    let [weight, bias, mean, variance] = [param("weight")?, param("bias")?, param("running_mean")?, param("running_var")?];
    let deviation = m.affine(variance, 1.0, BATCH_NORM_EPS)?;
    let deviation = m.op(Op::Sqrt, &[deviation])?;
    let factor = m.op(Op::Div, &[weight, deviation])?;
    let offset = m.op(Op::Mul, &[mean, factor])?;
    let offset = m.op(Op::Sub, &[bias, offset])?;
    let [factor, offset] = [factor, offset].map(|value| m.reshape(value, [channels.into(), 1.into(), 1.into()]));
    let x = m.op(Op::Mul, &[x, factor?])?;
    m.add(x, offset?)
}

/// A convolution that keeps the size.
pub(super) fn same_conv(m: &mut Scope<'_>, name: &str, x: ValueId, channels: usize, kernel: [usize; 2]) -> Result<ValueId> {
    basic_conv(m, name, x, channels, Window { kernel, stride: 1, padding: kernel.map(|side| side / 2) })
}

/// Several of them, one after another.
fn chain(m: &mut Scope<'_>, x: ValueId, steps: &[(&str, usize, [usize; 2])]) -> Result<ValueId> {
    steps.iter().try_fold(x, |x, (name, channels, kernel)| same_conv(m, name, x, *channels, *kernel))
}

/// Every other position takes the largest of 3×3.
pub(super) fn halving_pool(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    m.op(Op::MaxPool2d { kernel: [3; 2], stride: [2; 2], padding: [0; 4] }, &[x])
}

fn pool_branch(m: &mut Scope<'_>, x: ValueId, channels: usize, pooling: Pooling) -> Result<ValueId> {
    let (kernel, stride, padding) = ([3; 2], [1; 2], [1; 4]);
    let op = match pooling {
        Pooling::Average { count_padding } => Op::AvgPool2d { kernel, stride, padding, count_padding },
        Pooling::Largest => Op::MaxPool2d { kernel, stride, padding },
    };
    let x = m.op(op, &[x])?;
    same_conv(m, "branch_pool", x, channels, [1, 1])
}

/// `InceptionA`.
pub(super) fn block_a(m: &mut Scope<'_>, x: ValueId, pool_features: usize, pooling: Pooling) -> Result<ValueId> {
    let branches = [
        same_conv(m, "branch1x1", x, 64, [1, 1])?,
        chain(m, x, &[("branch5x5_1", 48, [1, 1]), ("branch5x5_2", 64, [5, 5])])?,
        chain(m, x, &[("branch3x3dbl_1", 64, [1, 1]), ("branch3x3dbl_2", 96, [3, 3]), ("branch3x3dbl_3", 96, [3, 3])])?,
        pool_branch(m, x, pool_features, pooling)?,
    ];
    m.concat(1, &branches)
}

/// `InceptionB`: half as large.
pub(super) fn block_b(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let double = chain(m, x, &[("branch3x3dbl_1", 64, [1, 1]), ("branch3x3dbl_2", 96, [3, 3])])?;
    let branches = [
        basic_conv(m, "branch3x3", x, 384, valid(3, 2))?,
        basic_conv(m, "branch3x3dbl_3", double, 96, valid(3, 2))?,
        halving_pool(m, x)?,
    ];
    m.concat(1, &branches)
}

/// `InceptionC`: 7×7 as rows after columns, `width` channels inside.
pub(super) fn block_c(m: &mut Scope<'_>, x: ValueId, width: usize, pooling: Pooling) -> Result<ValueId> {
    let (row, column) = ([1, 7], [7, 1]);
    let single = [("branch7x7_1", width, [1, 1]), ("branch7x7_2", width, row), ("branch7x7_3", 192, column)];
    let double = [
        ("branch7x7dbl_1", width, [1, 1]),
        ("branch7x7dbl_2", width, column),
        ("branch7x7dbl_3", width, row),
        ("branch7x7dbl_4", width, column),
        ("branch7x7dbl_5", 192, row),
    ];
    let branches = [
        same_conv(m, "branch1x1", x, 192, [1, 1])?,
        chain(m, x, &single)?,
        chain(m, x, &double)?,
        pool_branch(m, x, 192, pooling)?,
    ];
    m.concat(1, &branches)
}

/// `InceptionD`: half as large.
pub(super) fn block_d(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let small = same_conv(m, "branch3x3_1", x, 192, [1, 1])?;
    let large = [("branch7x7x3_1", 192, [1, 1]), ("branch7x7x3_2", 192, [1, 7]), ("branch7x7x3_3", 192, [7, 1])];
    let large = chain(m, x, &large)?;
    let branches = [
        basic_conv(m, "branch3x3_2", small, 320, valid(3, 2))?,
        basic_conv(m, "branch7x7x3_4", large, 192, valid(3, 2))?,
        halving_pool(m, x)?,
    ];
    m.concat(1, &branches)
}

/// `InceptionE`: two branches end in a row and a column side by side.
pub(super) fn block_e(m: &mut Scope<'_>, x: ValueId, pooling: Pooling) -> Result<ValueId> {
    let single = same_conv(m, "branch3x3_1", x, 384, [1, 1])?;
    let double = chain(m, x, &[("branch3x3dbl_1", 448, [1, 1]), ("branch3x3dbl_2", 384, [3, 3])])?;
    let branches = [
        same_conv(m, "branch1x1", x, 320, [1, 1])?,
        same_conv(m, "branch3x3_2a", single, 384, [1, 3])?,
        same_conv(m, "branch3x3_2b", single, 384, [3, 1])?,
        same_conv(m, "branch3x3dbl_3a", double, 384, [1, 3])?,
        same_conv(m, "branch3x3dbl_3b", double, 384, [3, 1])?,
        pool_branch(m, x, 192, pooling)?,
    ];
    m.concat(1, &branches)
}

//! The convolutional layers of torchvision's VGG16 and AlexNet, cut into the slices that LPIPS compares.

use dmdx_graph::{Op, ValueId};

use crate::arch::graphs::Rename;
use crate::arch::scope::{Conv, Scope};
use crate::error::Result;

/// A network's slices.
pub(super) struct Backbone {
    /// From the picture on.
    pub slices: &'static [Slice],
    /// Torchvision's names, and those of `lpips.LPIPS.lins`.
    pub renames: &'static [Rename],
    /// A usual side of pictures, divided by 16.
    pub usual: usize,
}

/// Layers between two comparisons.
pub(super) struct Slice {
    /// Side of the window of which the largest is taken at every other position first.
    pool: Option<usize>,
    /// Convolutions with ReLU after each.
    convs: &'static [Layer],
}

/// One convolution by its number in torchvision's `features`.
struct Layer {
    number: usize,
    channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

const fn layer(number: usize, channels: usize, kernel: usize) -> Layer {
    Layer { number, channels, kernel, stride: 1, padding: kernel / 2 }
}

const fn rename(old: &'static str, new: &'static str) -> Rename {
    Rename { old, new }
}

/// `lpips.pretrained_networks.vgg16`.
pub(super) const VGG16: Backbone = Backbone {
    slices: &[
        Slice { pool: None, convs: &[layer(0, 64, 3), layer(2, 64, 3)] },
        Slice { pool: Some(2), convs: &[layer(5, 128, 3), layer(7, 128, 3)] },
        Slice { pool: Some(2), convs: &[layer(10, 256, 3), layer(12, 256, 3), layer(14, 256, 3)] },
        Slice { pool: Some(2), convs: &[layer(17, 512, 3), layer(19, 512, 3), layer(21, 512, 3)] },
        Slice { pool: Some(2), convs: &[layer(24, 512, 3), layer(26, 512, 3), layer(28, 512, 3)] },
    ],
    renames: &[
        rename("features.0.", "net.slice1.0."),
        rename("features.2.", "net.slice1.2."),
        rename("features.5.", "net.slice2.5."),
        rename("features.7.", "net.slice2.7."),
        rename("features.10.", "net.slice3.10."),
        rename("features.12.", "net.slice3.12."),
        rename("features.14.", "net.slice3.14."),
        rename("features.17.", "net.slice4.17."),
        rename("features.19.", "net.slice4.19."),
        rename("features.21.", "net.slice4.21."),
        rename("features.24.", "net.slice5.24."),
        rename("features.26.", "net.slice5.26."),
        rename("features.28.", "net.slice5.28."),
        rename("lins.0.", "lin0."),
        rename("lins.1.", "lin1."),
        rename("lins.2.", "lin2."),
        rename("lins.3.", "lin3."),
        rename("lins.4.", "lin4."),
    ],
    usual: 14,
};

/// `lpips.pretrained_networks.alexnet`.
pub(super) const ALEX: Backbone = Backbone {
    slices: &[
        Slice { pool: None, convs: &[Layer { number: 0, channels: 64, kernel: 11, stride: 4, padding: 2 }] },
        Slice { pool: Some(3), convs: &[layer(3, 192, 5)] },
        Slice { pool: Some(3), convs: &[layer(6, 384, 3)] },
        Slice { pool: None, convs: &[layer(8, 256, 3)] },
        Slice { pool: None, convs: &[layer(10, 256, 3)] },
    ],
    renames: &[
        rename("features.0.", "net.slice1.0."),
        rename("features.3.", "net.slice2.3."),
        rename("features.6.", "net.slice3.6."),
        rename("features.8.", "net.slice4.8."),
        rename("features.10.", "net.slice5.10."),
        rename("lins.0.", "lin0."),
        rename("lins.1.", "lin1."),
        rename("lins.2.", "lin2."),
        rename("lins.3.", "lin3."),
        rename("lins.4.", "lin4."),
    ],
    usual: 14,
};

/// One slice of `x [n, c, h, w]`.
pub(super) fn slice(m: &mut Scope<'_>, x: ValueId, slice: &Slice) -> Result<ValueId> {
    let mut x = x;
    if let Some(side) = slice.pool {
        x = m.op(Op::MaxPool2d { kernel: [side; 2], stride: [2; 2], padding: [0; 4] }, &[x])?;
    }
    for layer in slice.convs {
        let &Layer { kernel, stride, padding, .. } = layer;
        let conv = Conv { kernel, stride, padding: [padding; 4], bias: true };
        // Both pictures are in one batch, so that these values are not those of the reference's modules: no marks.
        x = m.child(&layer.number.to_string()).conv2d_here(x, layer.channels, conv)?;
        x = m.op(Op::Relu, &[x])?;
    }
    Ok(x)
}

//! Convolution over time, rows and columns: every window becomes a column, and the weight is multiplied with all of them.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::ArrayD;
use rayon::prelude::*;

use super::dense::{matrix, product};
use super::tensor::{elements, expect, from_vec, row_major, sizes};
use crate::error::RunError;

type Floats = ArrayD<f64>;

/// Elements of the columns that are multiplied at once, about: a bound on memory, which changes no sum.
const COLUMNS: usize = 1 << 20;

/// How a convolution's window moves, for each axis.
#[derive(Clone, Copy)]
pub(super) struct Geometry<const N: usize> {
    pub stride: [usize; N],
    /// Before every axis.
    pub before: [usize; N],
    /// After every axis.
    pub after: [usize; N],
    pub dilation: [usize; N],
    pub groups: usize,
}

/// Two-dimensional cross-correlation with zero padding.
pub(super) fn conv2d(x: &Floats, weight: &Floats, bias: Option<&Floats>, geometry: Geometry<2>) -> Result<Floats, RunError> {
    let [batch, channels, height, width] = sizes(x, "x")?;
    let [out, in_group, rows, columns] = sizes(weight, "weight")?;
    let spread = |[a, b]: [usize; 2], front| [front, a, b];
    let geometry = Geometry {
        stride: spread(geometry.stride, 1),
        before: spread(geometry.before, 0),
        after: spread(geometry.after, 0),
        dilation: spread(geometry.dilation, 1),
        groups: geometry.groups,
    };
    let operands = Operands { x: row_major(x), weight: row_major(weight), bias, sizes: [batch, channels, out, in_group] };
    let (result, [_, height, width]) = operands.convolved([1, height, width], [1, rows, columns], geometry)?;
    from_vec(result, &[batch, out, height, width])
}

/// Three-dimensional cross-correlation with zero padding.
pub(super) fn conv3d(x: &Floats, weight: &Floats, bias: Option<&Floats>, geometry: Geometry<3>) -> Result<Floats, RunError> {
    let [batch, channels, frames, height, width] = sizes(x, "x")?;
    let [out, in_group, depth, rows, columns] = sizes(weight, "weight")?;
    let operands = Operands { x: row_major(x), weight: row_major(weight), bias, sizes: [batch, channels, out, in_group] };
    let (result, [frames, height, width]) = operands.convolved([frames, height, width], [depth, rows, columns], geometry)?;
    from_vec(result, &[batch, out, frames, height, width])
}

struct Operands<'a> {
    x: Cow<'a, [f64]>,
    weight: Cow<'a, [f64]>,
    bias: Option<&'a Floats>,
    /// Images, channels, channels of the result, channels that one of these reads.
    sizes: [usize; 4],
}

impl Operands<'_> {
    /// The elements and the sizes of the result.
    fn convolved(
        &self,
        space: [usize; 3],
        kernel: [usize; 3],
        geometry: Geometry<3>,
    ) -> Result<(Vec<f64>, [usize; 3]), RunError> {
        let [batch, channels, out, in_group] = self.sizes;
        let Geometry { stride, before, after, dilation, groups } = geometry;
        let fits = groups > 0 && in_group.checked_mul(groups) == Some(channels) && out % groups == 0;
        if !fits || stride.contains(&0) || dilation.contains(&0) {
            let shape = |first: [usize; 2], rest: [usize; 3]| [&first[..], &rest[..]].concat();
            let (x, weight) = (shape([batch, channels], space), shape([out, in_group], kernel));
            return Err(RunError::Convolution { x, weight, groups });
        }
        let side = |axis: usize| {
            let reach = dilation[axis].saturating_mul(kernel[axis].max(1) - 1).saturating_add(1);
            let padded = space[axis].saturating_add(before[axis]).saturating_add(after[axis]);
            padded.checked_sub(reach).map(|room| room / stride[axis] + 1).ok_or(RunError::Kernel)
        };
        let to = [side(0)?, side(1)?, side(2)?];
        self.bias.map_or(Ok(()), |bias| expect(bias, &[out], "bias"))?;
        let count = elements(&[batch, out, to[0], to[1], to[2]])?;
        let windows = Windows { space, kernel, to, geometry };
        let (depth, places, own) = (in_group * kernel.iter().product::<usize>(), to.iter().product::<usize>(), out / groups);
        let at_once = (COLUMNS / depth.max(1)).clamp(1, places.max(1));
        let tasks: Vec<(usize, usize, usize)> = (0..batch)
            .flat_map(|image| (0..groups).map(move |group| (image, group)))
            .flat_map(|(image, group)| (0..places).step_by(at_once).map(move |first| (image, group, first)))
            .collect();
        let volume: usize = space.iter().product();
        let products = tasks.par_iter().map(|&(image, group, first)| {
            let input = &self.x[(image * channels + group * in_group) * volume..][..in_group * volume];
            let places = first..(first + at_once).min(places);
            let columns = windows.columns(input, in_group, places.clone());
            let weight = matrix(&self.weight[group * own * depth..], own, depth)?;
            Ok(product(weight, matrix(&columns, depth, places.len())?))
        });
        let products: Vec<Vec<f64>> = products.collect::<Result<_, RunError>>()?;
        let mut result = vec![0.0; count];
        for (&(image, group, first), product) in tasks.iter().zip(&products) {
            for (o, sums) in product.chunks((product.len() / own.max(1)).max(1)).enumerate() {
                let channel = group * own + o;
                let bias = self.bias.map_or(0.0, |bias| bias[channel]);
                let start = (image * out + channel) * places + first;
                result[start..start + sums.len()].iter_mut().zip(sums).for_each(|(y, sum)| *y = sum + bias);
            }
        }
        Ok((result, to))
    }
}

/// Where the windows of a convolution lie.
struct Windows {
    space: [usize; 3],
    kernel: [usize; 3],
    to: [usize; 3],
    geometry: Geometry<3>,
}

impl Windows {
    /// The windows of some places of the result, one to a column: a row for each channel and place in the window.
    fn columns(&self, x: &[f64], channels: usize, places: Range<usize>) -> Vec<f64> {
        let [frames, height, width] = self.space;
        let [depth, rows, across] = self.kernel;
        let Geometry { stride, before, dilation, .. } = self.geometry;
        // Outside is zero.
        let inside = |at: usize, offset: usize, axis: usize, size: usize| {
            (at * stride[axis] + offset * dilation[axis]).checked_sub(before[axis]).filter(|place| *place < size)
        };
        let mut columns = vec![0.0; channels * depth * rows * across * places.len()];
        for (row, values) in columns.chunks_mut(places.len().max(1)).enumerate() {
            let (kx, ky, kf) = (row % across, row / across % rows, row / across / rows % depth);
            let image = &x[row / (across * rows * depth) * frames * height * width..];
            let mut at = places.start;
            while at < places.end {
                let (line, first) = (at / self.to[2], at % self.to[2]);
                let last = (first + places.end - at).min(self.to[2]);
                let line = (inside(line / self.to[1], kf, 0, frames), inside(line % self.to[1], ky, 1, height));
                if let (Some(frame), Some(y)) = line {
                    let source = &image[(frame * height + y) * width..][..width];
                    for (value, place) in values[at - places.start..].iter_mut().zip(first..last) {
                        *value = inside(place, kx, 2, width).map_or(0.0, |from| source[from]);
                    }
                }
                at += last - first;
            }
        }
        columns
    }
}

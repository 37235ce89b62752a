//! The geometry of a 2-D convolution, and the copies that lay its operands out.

use std::borrow::Cow;

use rayon::prelude::*;

use super::tile::COLUMNS;

/// Sizes of one convolution; `x` is `[batch, inputs, height, width]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    /// Top, left, bottom, right.
    pub(super) padding: [usize; 4],
    pub(super) dilation: [usize; 2],
    pub(super) groups: usize,
}

impl Window {
    /// Height and width of the zero-padded input.
    pub(super) fn padded(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.padding;
        [self.height + top + bottom, self.width + left + right]
    }

    /// Rows and columns that the dilated kernel reaches beyond its first element.
    pub(super) fn reach(&self) -> [usize; 2] {
        [self.dilation[0] * (self.kernel[0] - 1), self.dilation[1] * (self.kernel[1] - 1)]
    }

    /// Height and width of the output; `None` unless every size is positive, channels divide into the groups and the
    /// kernel, with `per_group` input channels, fits into the padded input.
    pub(super) fn checked_output(&self, per_group: usize) -> Option<[usize; 2]> {
        let positive = [self.kernel, self.stride, self.dilation].as_flattened().iter().all(|n| *n > 0);
        let counts = [self.batch, self.inputs, self.height, self.width, self.outputs, self.groups];
        if !positive || counts.contains(&0) || !self.outputs.is_multiple_of(self.groups) || per_group * self.groups != self.inputs
        {
            return None;
        }
        let (padded, reach) = (self.padded(), self.reach());
        let size = |axis: usize| Some(padded[axis].checked_sub(reach[axis] + 1)? / self.stride[axis] + 1);
        Some([size(0)?, size(1)?])
    }

    /// Offset of each kernel element `(channel, row, column)` of a group in a padded image of channel planes.
    pub(super) fn taps(&self) -> Vec<usize> {
        let [height, width] = self.padded();
        let mut taps = Vec::with_capacity(self.inputs / self.groups * self.kernel[0] * self.kernel[1]);
        for channel in 0..self.inputs / self.groups {
            for row in 0..self.kernel[0] {
                for column in 0..self.kernel[1] {
                    taps.push((channel * height + row * self.dilation[0]) * width + column * self.dilation[1]);
                }
            }
        }
        taps
    }
}

/// The largest power of two up to 32 that divides `length`.
pub(super) fn run_length(length: usize) -> usize {
    if length == 0 { 1 } else { 1 << length.trailing_zeros().min(5) }
}

/// Surrounds every plane `[height, width]` of `x` with zeros; borrows where there is nothing to add.
pub(super) fn pad_planes(x: &[f32], height: usize, width: usize, padding: [usize; 4]) -> Cow<'_, [f32]> {
    let [top, left, bottom, right] = padding;
    if padding == [0; 4] || height * width == 0 {
        return Cow::Borrowed(x);
    }
    let (tall, wide) = (height + top + bottom, width + left + right);
    let mut out = vec![0.0; x.len() / (height * width) * tall * wide];
    let planes = (1_usize << 15).div_ceil(tall * wide);
    out.par_chunks_mut(planes * tall * wide).zip(x.par_chunks(planes * height * width)).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(tall * wide).zip(x.chunks_exact(height * width)) {
            let lines = out[top * wide..].chunks_exact_mut(wide);
            for (line, source) in lines.zip(x.chunks_exact(width)) {
                line[left..left + width].copy_from_slice(source);
            }
        }
    });
    Cow::Owned(out)
}

/// Copies 32 values per line of `out`: line k holds the runs of `x` that begin at `lines[k] + starts[j]`.
pub(super) fn gather(x: &[f32], lines: &[usize], starts: &[usize; COLUMNS], run: usize, out: &mut [f32]) {
    match run {
        32 => gather_runs::<32>(x, lines, starts, out),
        16 => gather_runs::<16>(x, lines, starts, out),
        8 => gather_runs::<8>(x, lines, starts, out),
        4 => gather_runs::<4>(x, lines, starts, out),
        2 => gather_runs::<2>(x, lines, starts, out),
        _ => gather_runs::<1>(x, lines, starts, out),
    }
}

fn gather_runs<const RUN: usize>(x: &[f32], lines: &[usize], starts: &[usize; COLUMNS], out: &mut [f32]) {
    let (rows, _) = out.as_chunks_mut::<COLUMNS>();
    for (line, row) in lines.iter().zip(rows) {
        let source = &x[*line..];
        let (pieces, _) = row.as_chunks_mut::<RUN>();
        for (piece, start) in pieces.iter_mut().zip(starts.iter().step_by(RUN)) {
            piece.copy_from_slice(&source[*start..*start + RUN]);
        }
    }
}

/// Lays `[channels, size]` planes out as `[size, channels]`, 16 by 16 at a time.
pub(super) fn transpose(x: &[f32], channels: usize, size: usize, out: &mut [f32]) {
    const BLOCK: usize = 16;
    for c0 in (0..channels).step_by(BLOCK) {
        let width = (channels - c0).min(BLOCK);
        for s0 in (0..size).step_by(BLOCK) {
            let height = (size - s0).min(BLOCK);
            for c in 0..width {
                let source = &x[(c0 + c) * size + s0..(c0 + c) * size + s0 + height];
                let target = out[s0 * channels + c0 + c..].iter_mut().step_by(channels);
                for (slot, value) in target.zip(source) {
                    *slot = *value;
                }
            }
        }
    }
}

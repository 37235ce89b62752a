//! Forward convolution, and its gradient with respect to the input.
//!
//! An implicit matrix product: the weights are the packed left side, and every right panel of 32 output pixels is
//! copied straight from the zero-padded input, so the matrix of patches is never stored.

use rayon::prelude::*;

use super::matrix::{Matrix, pack_left};
use super::tile::{COLUMNS, DEPTH, ROWS, multiply};
use super::window::{Window, gather, pad_planes, run_length};

/// Left panels of one group, `[depth block][panel][depth][8]`.
struct Weights {
    data: Vec<f32>,
    panels: usize,
    depth: usize,
}

impl Weights {
    fn pack(view: Matrix) -> Self {
        let (panels, depth) = (view.rows.div_ceil(ROWS), view.columns);
        let mut data = vec![0.0; panels * ROWS * depth];
        let mut rest = data.as_mut_slice();
        for start in (0..depth).step_by(DEPTH) {
            let length = (depth - start).min(DEPTH) * ROWS;
            for panel in 0..panels {
                let (block, after) = rest.split_at_mut(length);
                pack_left(view, panel * ROWS, start, block);
                rest = after;
            }
        }
        Self { data, panels, depth }
    }

    /// Panels `first..first + count` of the depth block that begins at `start`.
    fn block(&self, start: usize, first: usize, count: usize) -> &[f32] {
        let depth = (self.depth - start).min(DEPTH);
        let from = start * self.panels * ROWS + first * depth * ROWS;
        &self.data[from..from + count * depth * ROWS]
    }
}

/// Pixels of a run of images, 32 at a time: where each is read in the padded input.
struct Pixels {
    starts: [usize; COLUMNS],
    count: usize,
}

/// `out[b, o, y, x]` of a convolution (cross-correlation, as everywhere); `weight` is `[outputs, inputs / groups, kernel]`.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, window: &Window, size: [usize; 2], out: &mut [f32]) {
    let pixels = size[0] * size[1];
    if out.is_empty() {
        return;
    }
    let padded = window.padded();
    let input = pad_planes(x, window.height, window.width, window.padding);
    let taps = window.taps();
    let per_group = window.outputs / window.groups;
    let groups: Vec<Weights> = weight
        .chunks_exact((per_group * taps.len()).max(1))
        .map(|block| Weights::pack(Matrix::new(block, per_group, taps.len())))
        .collect();
    // Runs that are contiguous in the padded input: part of a line, or of a whole plane when lines touch.
    let whole = padded == size && window.stride == [1, 1];
    let run = match window.stride[1] {
        1 if whole => run_length(pixels),
        1 => run_length(size[1]),
        _ => 1,
    };
    let image = window.inputs * padded[0] * padded[1];
    let locate = |images: usize, panel: usize| {
        let mut found = Pixels { starts: [0; COLUMNS], count: (images * pixels - panel * COLUMNS).min(COLUMNS) };
        for (j, start) in found.starts.iter_mut().enumerate().take(found.count).step_by(run) {
            let (index, pixel) = ((panel * COLUMNS + j) / pixels, (panel * COLUMNS + j) % pixels);
            let (y, x) = (pixel / size[1], pixel % size[1]);
            *start = index * image + y * window.stride[0] * padded[1] + x * window.stride[1];
        }
        found
    };
    // Tasks own whole images, or 64 output channels of one image where there are few images.
    let split = window.groups == 1 && window.batch < 8 && window.outputs.is_multiple_of(64);
    let channels = if split { 64 } else { window.outputs };
    let images = if split { 1 } else { 64_usize.div_ceil(pixels).min(window.batch) };
    let pieces = window.outputs / channels;
    let task = |buffers: &mut (Vec<f32>, Vec<f32>), (index, out): (usize, &mut [f32])| {
        let (right, tile) = buffers;
        let (first, channel) = (index / pieces * images, index % pieces * channels);
        let images = out.len() / (channels * pixels);
        let source = &input[first * image..(first + images) * image];
        for panel in 0..(images * pixels).div_ceil(COLUMNS) {
            let found = locate(images, panel);
            for (g, group) in groups.iter().enumerate() {
                let rows = channels.min(per_group);
                let (from, count) = (if split { channel / ROWS } else { 0 }, rows.div_ceil(ROWS));
                let plane = g * (window.inputs / window.groups) * padded[0] * padded[1];
                tile.resize(count * ROWS * COLUMNS, 0.0);
                for start in (0..group.depth).step_by(DEPTH) {
                    let lines = &taps[start..(start + DEPTH).min(group.depth)];
                    right.resize(lines.len() * COLUMNS, 0.0);
                    gather(&source[plane..], lines, &found.starts, run, right);
                    multiply(group.block(start, from, count), right, lines.len(), tile, start > 0);
                }
                let bias = bias.map(|b| &b[channel + g * per_group..channel + g * per_group + rows]);
                let place = Place { channel: g * per_group, channels, pixels, first: panel * COLUMNS, count: found.count };
                place.store(tile, rows, bias, out);
            }
        }
    };
    out.par_chunks_mut(images * channels * pixels).enumerate().for_each_init(|| (Vec::new(), Vec::new()), task);
}

/// Where the columns of a tile go in `[images, channels, pixels]`.
struct Place {
    channel: usize,
    channels: usize,
    pixels: usize,
    first: usize,
    count: usize,
}

impl Place {
    fn store(&self, tile: &[f32], rows: usize, bias: Option<&[f32]>, out: &mut [f32]) {
        let (lines, _) = tile.as_chunks::<COLUMNS>();
        let mut done = 0;
        while done < self.count {
            let (image, pixel) = ((self.first + done) / self.pixels, (self.first + done) % self.pixels);
            let length = (self.pixels - pixel).min(self.count - done);
            for (row, line) in lines.iter().enumerate().take(rows) {
                let from = (image * self.channels + self.channel + row) * self.pixels + pixel;
                let shift = bias.map_or(0.0, |b| b[row]);
                let target = &mut out[from..from + length];
                for (slot, value) in target.iter_mut().zip(&line[done..done + length]) {
                    *slot = value + shift;
                }
            }
            done += length;
        }
    }
}

/// Gradient with respect to the input from the gradient of the output.
pub(super) fn backward_input(gradient: &[f32], weight: &[f32], window: &Window, size: [usize; 2], out: &mut [f32]) {
    let reach = window.reach();
    let [top, left, bottom, right] = window.padding;
    if window.stride == [1, 1] && reach[0] >= top.max(bottom) && reach[1] >= left.max(right) {
        let mirrored = Window {
            inputs: window.outputs,
            height: size[0],
            width: size[1],
            outputs: window.inputs,
            padding: [reach[0] - top, reach[1] - left, reach[0] - bottom, reach[1] - right],
            ..*window
        };
        let turned = turn(weight, window);
        forward(gradient, &turned, None, &mirrored, [window.height, window.width], out);
    } else {
        scatter(gradient, weight, window, size, out);
    }
}

/// The weights of the transposed convolution: inputs and outputs of each group exchanged, the kernel turned by 180°.
fn turn(weight: &[f32], window: &Window) -> Vec<f32> {
    let (inputs, outputs) = (window.inputs / window.groups, window.outputs / window.groups);
    let area = window.kernel[0] * window.kernel[1];
    let mut turned = vec![0.0; weight.len()];
    for g in 0..window.groups {
        let base = g * inputs * outputs * area;
        for o in 0..outputs {
            for i in 0..inputs {
                let source = &weight[base + (o * inputs + i) * area..][..area];
                let target = &mut turned[base + (i * outputs + o) * area..][..area];
                for (slot, value) in target.iter_mut().zip(source.iter().rev()) {
                    *slot = *value;
                }
            }
        }
    }
    turned
}

/// The input gradient of a strided convolution: products of 32 output pixels, added where they were read from.
fn scatter(gradient: &[f32], weight: &[f32], window: &Window, size: [usize; 2], out: &mut [f32]) {
    let pixels = size[0] * size[1];
    let [tall, wide] = window.padded();
    let taps = window.taps();
    let per_group = window.outputs / window.groups;
    let groups: Vec<Weights> = weight
        .chunks_exact((per_group * taps.len()).max(1))
        .map(|block| Weights::pack(Matrix::new(block, per_group, taps.len()).transposed()))
        .collect();
    let run = run_length(pixels);
    let (image, group_plane) = (window.inputs * tall * wide, window.inputs / window.groups * tall * wide);
    let plane = window.inputs * window.height * window.width;
    if plane == 0 {
        return;
    }
    let images = 32_usize.div_ceil(pixels.max(1)).min(window.batch);
    let planes: Vec<usize> = (0..per_group).map(|o| o * pixels).collect();
    let task = |buffers: &mut [Vec<f32>; 3], (index, out): (usize, &mut [f32])| {
        let [right, tile, padded] = buffers;
        let images_here = out.len() / plane;
        padded.clear();
        padded.resize(images_here * image, 0.0);
        let source = &gradient[index * images * window.outputs * pixels..];
        for panel in 0..(images_here * pixels).div_ceil(COLUMNS) {
            let count = (images_here * pixels - panel * COLUMNS).min(COLUMNS);
            let mut starts = [0; COLUMNS];
            let mut targets = [0; COLUMNS];
            for j in 0..count {
                let (b, pixel) = ((panel * COLUMNS + j) / pixels, (panel * COLUMNS + j) % pixels);
                starts[j] = b * window.outputs * pixels + pixel;
                targets[j] = b * image + pixel / size[1] * window.stride[0] * wide + pixel % size[1] * window.stride[1];
            }
            for (g, group) in groups.iter().enumerate() {
                tile.resize(group.panels * ROWS * COLUMNS, 0.0);
                for start in (0..per_group).step_by(DEPTH) {
                    let lines = &planes[start..(start + DEPTH).min(per_group)];
                    right.resize(lines.len() * COLUMNS, 0.0);
                    gather(&source[g * per_group * pixels..], lines, &starts, run, right);
                    multiply(group.block(start, 0, group.panels), right, lines.len(), tile, start > 0);
                }
                for (tap, line) in taps.iter().zip(tile.as_chunks::<COLUMNS>().0) {
                    let base = &mut padded[g * group_plane + tap..];
                    for (target, value) in targets[..count].iter().zip(line) {
                        base[*target] += value;
                    }
                }
            }
        }
        let [top, left, ..] = window.padding;
        let area = window.height * window.width;
        for (out, source) in out.chunks_exact_mut(area).zip(padded.chunks_exact(tall * wide)) {
            let lines = source[top * wide..].chunks_exact(wide);
            for (line, source) in out.chunks_exact_mut(window.width).zip(lines) {
                line.copy_from_slice(&source[left..left + window.width]);
            }
        }
    };
    out.par_chunks_mut(images * plane).enumerate().for_each_init(|| [Vec::new(), Vec::new(), Vec::new()], task);
}

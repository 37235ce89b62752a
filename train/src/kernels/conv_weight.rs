//! Gradient of a convolution with respect to its weights: a product over all output pixels of the batch.
//!
//! The input is laid out channels-last with its padding, so that the 32 columns `(row, column, channel)` of a right
//! panel are runs of one line. Tasks own columns of the result, so no sums of several threads are ever joined.

use rayon::prelude::*;

use super::matrix::interleave;
use super::tile::{COLUMNS, ROWS, multiply};
use super::window::{Window, transpose};

/// Pixels summed per packed block.
const BLOCK: usize = 512;

/// Returns `[outputs, inputs / groups, kernel]`.
pub(super) fn backward_weight(x: &[f32], gradient: &[f32], window: &Window, size: [usize; 2]) -> Vec<f32> {
    let (inputs, outputs) = (window.inputs / window.groups, window.outputs / window.groups);
    let area = window.kernel[0] * window.kernel[1];
    let mut result = vec![0.0; window.outputs * inputs * area];
    let pixels = size[0] * size[1];
    let total = window.batch * pixels;
    if result.is_empty() || total == 0 {
        return result;
    }
    let channels_last = pad_channels_last(x, window);
    let [tall, wide] = window.padded();
    let starts: Vec<usize> = (0..total)
        .map(|index| {
            let (b, pixel) = (index / pixels, index % pixels);
            let (y, x) = (pixel / size[1] * window.stride[0], pixel % size[1] * window.stride[1]);
            ((b * tall + y) * wide + x) * window.inputs
        })
        .collect();
    for g in 0..window.groups {
        let left = pack_gradient(gradient, window, g * outputs, outputs, pixels);
        let panels = outputs.div_ceil(ROWS);
        let columns: Vec<usize> = (0..area * inputs)
            .map(|column| {
                let (tap, channel) = (column / inputs, column % inputs);
                let (y, x) = (tap / window.kernel[1] * window.dilation[0], tap % window.kernel[1] * window.dilation[1]);
                (y * wide + x) * window.inputs + g * inputs + channel
            })
            .collect();
        // Three right panels per task read each line of the input once while it is in the cache.
        let tasks: Vec<&[usize]> = columns.chunks(3 * COLUMNS).collect();
        let tiles: Vec<Vec<f32>> = tasks
            .into_par_iter()
            .map(|columns| {
                let runs: Vec<Vec<Run>> = columns.chunks(COLUMNS).map(find_runs).collect();
                let mut tiles = vec![0.0; runs.len() * panels * ROWS * COLUMNS];
                let mut right = vec![0.0; BLOCK.min(total) * COLUMNS];
                for (block, lines) in starts.chunks(BLOCK).enumerate() {
                    let left = &left[block * BLOCK * panels * ROWS..][..lines.len() * panels * ROWS];
                    for (runs, tile) in runs.iter().zip(tiles.chunks_exact_mut(panels * ROWS * COLUMNS)) {
                        copy_runs(&channels_last, lines, runs, &mut right);
                        multiply(left, &right, lines.len(), tile, true);
                    }
                }
                tiles
            })
            .collect();
        let target = &mut result[g * outputs * inputs * area..][..outputs * inputs * area];
        for (p, tile) in tiles.iter().flat_map(|t| t.chunks_exact(panels * ROWS * COLUMNS)).enumerate() {
            for (o, line) in tile.as_chunks::<COLUMNS>().0.iter().enumerate().take(outputs) {
                for (column, value) in (p * COLUMNS..area * inputs).zip(line) {
                    target[(o * inputs + column % inputs) * area + column / inputs] = *value;
                }
            }
        }
    }
    result
}

/// `[batch, height, width, channels]` with zeros around each image.
fn pad_channels_last(x: &[f32], window: &Window) -> Vec<f32> {
    let [tall, wide] = window.padded();
    let [top, left, ..] = window.padding;
    let (image, line) = (window.inputs * window.height * window.width, window.width * window.inputs);
    let mut out = vec![0.0; window.batch * tall * wide * window.inputs];
    if image == 0 {
        return out;
    }
    out.par_chunks_mut(tall * wide * window.inputs).zip(x.par_chunks(image)).for_each_init(
        || vec![0.0; image],
        |buffer, (out, x)| {
            transpose(x, window.inputs, window.height * window.width, buffer);
            let lines = out[top * wide * window.inputs..].chunks_exact_mut(wide * window.inputs);
            for (target, source) in lines.zip(buffer.chunks_exact(line)) {
                target[left * window.inputs..][..line].copy_from_slice(source);
            }
        },
    );
    out
}

/// The output gradient of `count` channels from `first`, as left panels `[block][panel][pixel][8]`.
fn pack_gradient(gradient: &[f32], window: &Window, first: usize, count: usize, pixels: usize) -> Vec<f32> {
    let panels = count.div_ceil(ROWS);
    let total = window.batch * pixels;
    let mut packed = vec![0.0; total * panels * ROWS];
    packed.par_chunks_mut(BLOCK * panels * ROWS).enumerate().for_each(|(block, out)| {
        let length = out.len() / (panels * ROWS);
        for (panel, out) in out.chunks_exact_mut(length * ROWS).enumerate() {
            let (lines, _) = out.as_chunks_mut::<ROWS>();
            let height = (count - panel * ROWS).min(ROWS);
            let mut done = 0;
            while done < length {
                let (b, pixel) = ((block * BLOCK + done) / pixels, (block * BLOCK + done) % pixels);
                let run = (pixels - pixel).min(length - done);
                let base = (b * window.outputs + first + panel * ROWS) * pixels + pixel;
                if height == ROWS {
                    let sources = std::array::from_fn(|r| &gradient[base + r * pixels..][..run]);
                    interleave(sources, &mut lines[done..done + run]);
                } else {
                    for r in 0..height {
                        for (line, value) in lines[done..done + run].iter_mut().zip(&gradient[base + r * pixels..]) {
                            line[r] = *value;
                        }
                    }
                }
                done += run;
            }
        }
    });
    packed
}

/// Consecutive columns of a panel that are consecutive in memory.
struct Run {
    to: usize,
    from: usize,
    length: usize,
}

fn find_runs(columns: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (to, from) in columns.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.from + run.length == *from => run.length += 1,
            _ => runs.push(Run { to, from: *from, length: 1 }),
        }
    }
    runs
}

fn copy_runs(x: &[f32], starts: &[usize], runs: &[Run], out: &mut [f32]) {
    let (lines, _) = out.as_chunks_mut::<COLUMNS>();
    if let [Run { from, length: COLUMNS, .. }] = runs {
        for (line, start) in lines.iter_mut().zip(starts) {
            line.copy_from_slice(&x[start + from..start + from + COLUMNS]);
        }
        return;
    }
    for (line, start) in lines.iter_mut().zip(starts) {
        for run in runs {
            let from = start + run.from;
            line[run.to..run.to + run.length].copy_from_slice(&x[from..from + run.length]);
        }
    }
}

//! Matrix products of strided views by packed panels.

use rayon::prelude::*;

use super::simd::vectorised;
use super::tile::{COLUMNS, DEPTH, ROWS, multiply};

/// A matrix inside a slice: element (r, c) is `data[r * row_stride + c * column_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transpose, without a copy.
    pub(super) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Multiplications below which a product runs on the calling thread.
const PARALLEL_WORK: usize = 1 << 19;

/// `out = left right (+ bias per column)`, row-major; spread over threads when it is large.
pub(super) fn product(left: Matrix, right: Matrix, bias: Option<&[f32]>, out: &mut [f32]) {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    let panels = columns.div_ceil(COLUMNS);
    let parallel = rows * columns * depth >= PARALLEL_WORK;
    let mut data = vec![0.0; depth * panels * COLUMNS];
    let blocks = right_blocks(&mut data, panels, depth);
    let pack = |(panel, start, block): (usize, usize, &mut [f32])| pack_right(right, panel * COLUMNS, start, block);
    if parallel {
        blocks.into_par_iter().for_each(pack);
    } else {
        blocks.into_iter().for_each(pack);
    }
    let packed = Packed { data: &data, panels, depth };
    // A multiple of 8 rows, at most 64, and at least eight pieces where there are rows enough.
    let step = rows.div_ceil(8).next_multiple_of(ROWS).min(64);
    let compute = |scratch: &mut Vec<f32>, (index, part): (usize, &mut [f32])| {
        rows_product(left, index * step, &packed, bias, part, columns, scratch);
    };
    let pieces = step * columns;
    if parallel {
        out.par_chunks_mut(pieces).enumerate().for_each_init(Vec::new, compute);
    } else {
        let mut scratch = Vec::new();
        out.chunks_mut(pieces).enumerate().for_each(|piece| compute(&mut scratch, piece));
    }
}

/// Buffers for products on the calling thread, reused from one to the next.
#[derive(Default)]
pub(super) struct Workspace {
    right: Vec<f32>,
    scratch: Vec<f32>,
}

impl Workspace {
    /// `out = left right`, row-major.
    pub(super) fn product(&mut self, left: Matrix, right: Matrix, out: &mut [f32]) {
        let (columns, depth) = (right.columns, left.columns);
        if left.rows == 0 || columns == 0 {
            return;
        }
        let panels = columns.div_ceil(COLUMNS);
        self.right.resize(depth * panels * COLUMNS, 0.0);
        for (panel, start, block) in right_blocks(&mut self.right, panels, depth) {
            pack_right(right, panel * COLUMNS, start, block);
        }
        let packed = Packed { data: &self.right, panels, depth };
        const STEP: usize = 64;
        for (index, part) in out.chunks_mut(STEP * columns).enumerate() {
            rows_product(left, index * STEP, &packed, None, part, columns, &mut self.scratch);
        }
    }
}

/// The buffers of a packed right side, as `[depth block][panel][depth][32]`.
fn right_blocks(packed: &mut [f32], panels: usize, depth: usize) -> Vec<(usize, usize, &mut [f32])> {
    let mut blocks = Vec::with_capacity(panels * depth.div_ceil(DEPTH));
    let mut rest = packed;
    for start in (0..depth).step_by(DEPTH) {
        let length = (depth - start).min(DEPTH) * COLUMNS;
        for panel in 0..panels {
            let (block, after) = rest.split_at_mut(length);
            blocks.push((panel, start, block));
            rest = after;
        }
    }
    blocks
}

/// A packed right side.
struct Packed<'a> {
    data: &'a [f32],
    panels: usize,
    depth: usize,
}

/// Copies 32 columns from `column`, rows from `start`, into `[depth][32]`.
///
/// Columns past the end keep what was there: they only reach columns of the tile that nobody reads.
pub(super) fn pack_right(view: Matrix, column: usize, start: usize, out: &mut [f32]) {
    let width = (view.columns - column).min(COLUMNS);
    let (lines, _) = out.as_chunks_mut::<COLUMNS>();
    if view.column_stride == 1 {
        for (k, line) in lines.iter_mut().enumerate() {
            let from = (start + k) * view.row_stride + column;
            line[..width].copy_from_slice(&view.data[from..from + width]);
        }
        return;
    }
    let mut done = 0;
    if view.row_stride == 1 {
        let count = lines.len();
        while done + ROWS <= width {
            let sources: [&[f32]; ROWS] = std::array::from_fn(|c| {
                let from = start + (column + done + c) * view.column_stride;
                &view.data[from..from + count]
            });
            interleave_into(sources, lines, done);
            done += ROWS;
        }
    }
    for c in done..width {
        let from = start * view.row_stride + (column + c) * view.column_stride;
        let source = view.data[from..].iter().step_by(view.row_stride);
        for (line, value) in lines.iter_mut().zip(source) {
            line[c] = *value;
        }
    }
}

/// Copies 8 rows from `row`, columns from `start`, into `[depth][8]`; rows past the end keep what was there.
pub(super) fn pack_left(view: Matrix, row: usize, start: usize, out: &mut [f32]) {
    let height = (view.rows - row).min(ROWS);
    let (lines, _) = out.as_chunks_mut::<ROWS>();
    if view.row_stride == 1 {
        for (k, line) in lines.iter_mut().enumerate() {
            let from = (start + k) * view.column_stride + row;
            line[..height].copy_from_slice(&view.data[from..from + height]);
        }
        return;
    }
    if view.column_stride == 1 && height == ROWS {
        let count = lines.len();
        let base = row * view.row_stride + start;
        let sources: [&[f32]; ROWS] = std::array::from_fn(|r| {
            let from = base + r * view.row_stride;
            &view.data[from..from + count]
        });
        interleave(sources, lines);
        return;
    }
    for r in 0..height {
        let from = (row + r) * view.row_stride + start * view.column_stride;
        let source = view.data[from..].iter().step_by(view.column_stride);
        for (line, value) in lines.iter_mut().zip(source) {
            line[r] = *value;
        }
    }
}

/// Transposes 8 lines of equal length into lines of 8.
pub(super) fn interleave(sources: [&[f32]; ROWS], lines: &mut [[f32; ROWS]]) {
    interleave_into(sources, lines, 0);
}

/// Transposes 8 lines of equal length into columns `column..column + 8` of `lines`.
fn interleave_into<const WIDTH: usize>(sources: [&[f32]; ROWS], lines: &mut [[f32; WIDTH]], column: usize) {
    vectorised(
        #[inline(always)]
        || {
            let (whole, rest) = lines.as_chunks_mut::<ROWS>();
            let done = whole.len() * ROWS;
            for (b, block) in whole.iter_mut().enumerate() {
                let square: [[f32; ROWS]; ROWS] = std::array::from_fn(|r| {
                    let mut line = [0.0; ROWS];
                    line.copy_from_slice(&sources[r][b * ROWS..b * ROWS + ROWS]);
                    line
                });
                for (k, line) in block.iter_mut().enumerate() {
                    let turned: [f32; ROWS] = std::array::from_fn(|r| square[r][k]);
                    line[column..column + ROWS].copy_from_slice(&turned);
                }
            }
            for (k, line) in rest.iter_mut().enumerate() {
                for (r, source) in sources.iter().enumerate() {
                    line[column + r] = source[done + k];
                }
            }
        },
    );
}

/// The rows of a product from `first`, as many as `out` holds.
fn rows_product(
    left: Matrix,
    first: usize,
    right: &Packed,
    bias: Option<&[f32]>,
    out: &mut [f32],
    columns: usize,
    scratch: &mut Vec<f32>,
) {
    let rows = out.len() / columns;
    let panels = rows.div_ceil(ROWS);
    let tile = panels * ROWS * COLUMNS;
    let deepest = right.depth.min(DEPTH);
    scratch.resize(panels * ROWS * deepest + right.panels * tile, 0.0);
    let (packed_left, tiles) = scratch.split_at_mut(panels * ROWS * deepest);
    let mut offset = 0;
    for start in (0..right.depth).step_by(DEPTH) {
        let depth = (right.depth - start).min(DEPTH);
        let packed_left = &mut packed_left[..panels * ROWS * depth];
        for (p, block) in packed_left.chunks_exact_mut(ROWS * depth).enumerate() {
            pack_left(left, first + p * ROWS, start, block);
        }
        for tile in tiles.chunks_exact_mut(tile) {
            let block = &right.data[offset..offset + depth * COLUMNS];
            multiply(packed_left, block, depth, tile, start > 0);
            offset += depth * COLUMNS;
        }
    }
    for (p, tile) in tiles.chunks_exact(tile).enumerate() {
        let column = p * COLUMNS;
        let width = (columns - column).min(COLUMNS);
        for (line, target) in tile.chunks_exact(COLUMNS).zip(out.chunks_exact_mut(columns)) {
            let target = &mut target[column..column + width];
            match bias {
                Some(bias) => {
                    for ((slot, value), b) in target.iter_mut().zip(line).zip(&bias[column..column + width]) {
                        *slot = value + b;
                    }
                }
                None => target.copy_from_slice(&line[..width]),
            }
        }
    }
}

/// Sums the columns of a row-major matrix in a fixed order: blocks of 64 rows, then the blocks.
pub(super) fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = values
        .par_chunks((columns * 64).max(1))
        .with_min_len(8)
        .map(|block| {
            let mut sums = vec![0.0; columns];
            for line in block.chunks_exact(columns) {
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += value;
                }
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; columns];
    for part in partial {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums
}

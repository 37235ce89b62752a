//! The inner product of two packed panels, from which every matrix product and convolution here is made.
//!
//! A left panel holds 8 rows as `[depth][8]`, a right panel 32 columns as `[depth][32]`; their product is a tile of
//! 8 x 32 sums kept in registers (16 of the 32 AVX-512 registers; AVX2 takes the tile in four parts).

use pulp::{Arch, Simd, WithSimd};

/// Rows of a left panel.
pub(super) const ROWS: usize = 8;
/// Columns of a right panel.
pub(super) const COLUMNS: usize = 32;
/// The most terms summed before the tile is written back, so that a right panel stays in the second-level cache.
pub(super) const DEPTH: usize = 1024;

/// Multiplies consecutive left panels by one right panel.
///
/// `left` is `[panels][depth][8]`, `right` is `[depth][32]`, `tiles` is `[panels * 8][32]`, which is overwritten or,
/// with `accumulate`, added to.
pub(super) fn multiply(left: &[f32], right: &[f32], depth: usize, tiles: &mut [f32], accumulate: bool) {
    if depth == 0 {
        if !accumulate {
            tiles.fill(0.0);
        }
        return;
    }
    Arch::new().dispatch(Multiply { left, right, depth, tiles, accumulate });
}

struct Multiply<'a> {
    left: &'a [f32],
    right: &'a [f32],
    depth: usize,
    tiles: &'a mut [f32],
    accumulate: bool,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (right, _) = self.right[..self.depth * COLUMNS].as_chunks::<COLUMNS>();
        let panels = self.left.chunks_exact(self.depth * ROWS);
        let tiles = self.tiles.chunks_exact_mut(ROWS * COLUMNS);
        for (panel, tile) in panels.zip(tiles) {
            let (left, _) = panel.as_chunks::<ROWS>();
            let (rows, _) = tile.as_chunks_mut::<COLUMNS>();
            match S::F32_LANES {
                16 => part::<S, 8, 2>(simd, left, right, rows, 0, 0, self.accumulate),
                8 => {
                    for (row, column) in [(0, 0), (4, 0), (0, 16), (4, 16)] {
                        part::<S, 4, 2>(simd, left, right, rows, row, column, self.accumulate);
                    }
                }
                4 => {
                    for (row, column) in [(0, 0), (4, 0), (0, 16), (4, 16)] {
                        part::<S, 4, 4>(simd, left, right, rows, row, column, self.accumulate);
                    }
                }
                _ => portable(left, right, rows, self.accumulate),
            }
        }
    }
}

/// One register block: rows `row..row + M`, columns `column..column + V` vectors.
#[inline(always)]
fn part<S: Simd, const M: usize, const V: usize>(
    simd: S,
    left: &[[f32; ROWS]],
    right: &[[f32; COLUMNS]],
    tile: &mut [[f32; COLUMNS]],
    row: usize,
    column: usize,
    accumulate: bool,
) {
    let width = V * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    for (l, r) in left.iter().zip(right) {
        let (vectors, _) = S::as_simd_f32s(&r[column..column + width]);
        for (m, line) in sums.iter_mut().enumerate() {
            let factor = simd.splat_f32s(l[row + m]);
            for (v, sum) in line.iter_mut().enumerate() {
                *sum = simd.mul_add_f32s(factor, vectors[v], *sum);
            }
        }
    }
    for (line, target) in sums.iter().zip(&mut tile[row..row + M]) {
        let (vectors, _) = S::as_mut_simd_f32s(&mut target[column..column + width]);
        for (slot, sum) in vectors.iter_mut().zip(line) {
            *slot = if accumulate { simd.add_f32s(*slot, *sum) } else { *sum };
        }
    }
}

/// The same on a processor without wide vectors.
#[inline(always)]
fn portable(left: &[[f32; ROWS]], right: &[[f32; COLUMNS]], tile: &mut [[f32; COLUMNS]], accumulate: bool) {
    for (m, target) in tile.iter_mut().enumerate() {
        let mut sums = if accumulate { *target } else { [0.0; COLUMNS] };
        for (l, r) in left.iter().zip(right) {
            for (sum, value) in sums.iter_mut().zip(r) {
                *sum += l[m] * value;
            }
        }
        *target = sums;
    }
}

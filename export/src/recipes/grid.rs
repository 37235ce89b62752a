//! Sines and cosines of a grid of frames, rows and columns: one table per axis, expanded and joined, so that the file does
//! not grow with the number of tokens.

use dmdx_graph::{DType, Dim, Shape, tables};

use super::builder::{Builder, Entry};
use super::position::{cast, range};
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;

/// The longest period of sinusoidal positions.
const MAX_PERIOD: f64 = 10_000.0;

/// The parts of [`dmdx_graph::Op::SincosTable3d`].
pub(crate) struct Grid<'d> {
    pub(crate) dim: usize,
    /// Frames, rows, columns.
    pub(crate) sizes: [&'d Dim; 3],
    pub(crate) spatial_scale: f64,
    pub(crate) temporal_scale: f64,
}

pub(crate) fn sincos_table(b: &mut Builder<'_>, site: Site<'_>, grid: &Grid<'_>) -> Result<String> {
    let [frames, rows, columns] = grid.sizes;
    let entries = [Entry::of(frames), Entry::of(rows), Entry::of(columns), Entry::Known(1)];
    let whole = b.shape_vector(&entries)?;
    let mut parts = Vec::new();
    // Columns come before rows, as in diffusers.
    for (axis, beside) in [(0, [1, 2]), (2, [0, 1]), (1, [0, 2])] {
        let table = along(b, grid, axis)?;
        let beside = b.ints(&beside);
        let table = b.node("Unsqueeze", &[&table, &beside], vec![]);
        parts.push(b.node("Expand", &[&table, &whole], vec![]));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let joined = b.node("Concat", &parts, vec![attribute::int("axis", 3)]);
    let from = Shape(vec![frames.clone(), rows.clone(), columns.clone(), Dim::constant(grid.dim)]);
    b.reshape(&joined, &from, &site.ty.shape)
}

/// The table of one axis, `[size, its share of the width]`.
fn along(b: &mut Builder<'_>, grid: &Grid<'_>, axis: usize) -> Result<String> {
    let time = grid.dim / 4;
    let side = (grid.dim - time) / 2;
    let (width, first) = [(time, 0), (side, time + side), (side, time)][axis];
    if let Some(size) = grid.sizes[axis].known() {
        let mut one = [1; 3];
        one[axis] = size;
        let whole = tables::sincos_3d(grid.dim, one, grid.spatial_scale, grid.temporal_scale);
        let values: Vec<f64> = whole.chunks(grid.dim).flat_map(|row| &row[first..first + width]).copied().collect();
        return Ok(b.floats(&values, DType::F32, &[size, width]));
    }
    let count = b.size(grid.sizes[axis])?;
    let positions = range(b, &count);
    let positions = cast(b, &positions, DType::F32);
    let scale = b.scalar(if axis == 0 { grid.temporal_scale } else { grid.spatial_scale }, DType::F32);
    let positions = b.node("Div", &[&positions, &scale], vec![]);
    let last = b.ints(&[1]);
    let column = b.node("Unsqueeze", &[&positions, &last], vec![]);
    let half = width / 2;
    let frequencies: Vec<f64> = (0..half).map(|i| 1.0 / MAX_PERIOD.powf(i as f64 / half as f64)).collect();
    let frequencies = b.floats(&frequencies, DType::F32, &[1, half]);
    let angles = b.node("Mul", &[&column, &frequencies], vec![]);
    let (sin, cos) = (b.node("Sin", &[&angles], vec![]), b.node("Cos", &[&angles], vec![]));
    Ok(b.node("Concat", &[&sin, &cos], vec![attribute::int("axis", 1)]))
}

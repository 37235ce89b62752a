//! Attention, and SAM's relative position bias.

use dmdx_graph::{DType, Dim, Shape};

use super::builder::{Builder, Entry};
use super::dense::swap_last;
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;

/// What masked positions get added: the lowest `f32`, as transformers writes it; `exp` of it is 0.
const MASKED: f64 = f32::MIN as f64;

/// MatMul, Softmax, MatMul. Fused attention operations need opset 23 or a private domain.
pub(crate) fn by_products(b: &mut Builder<'_>, site: Site<'_>, scale: f64, causal: bool) -> Result<String> {
    let names = site.inputs.iter().map(|&id| b.value(id)).collect::<Result<Vec<_>>>()?;
    let dtype = site.types[0].dtype;
    let keys = swap_last(b, &names[1], 4);
    let factor = b.scalar(scale, dtype);
    // The query is smaller than the scores.
    let queries = b.node("Mul", &[&names[0], &factor], vec![]);
    let mut scores = b.node("MatMul", &[&queries, &keys], vec![]);
    if let Some(bias) = names.get(3) {
        scores = b.node("Add", &[&scores, bias], vec![]);
    }
    if causal {
        let mask = causal_mask(b, &site.types[0].shape.0[2], dtype)?;
        scores = b.node("Add", &[&scores, &mask], vec![]);
    }
    let weights = b.node("Softmax", &[&scores], vec![attribute::int("axis", -1)]);
    Ok(b.node("MatMul", &[&weights, &names[2]], vec![]))
}

/// `[s, s]`: 0 up to the diagonal, very low above it.
fn causal_mask(b: &mut Builder<'_>, tokens: &Dim, dtype: DType) -> Result<String> {
    if let Some(s) = tokens.known() {
        let values: Vec<f64> = (0..s * s).map(|i| if i % s > i / s { MASKED } else { 0.0 }).collect();
        return Ok(b.floats(&values, dtype, &[s, s]));
    }
    let shape = b.shape_vector(&[Entry::Computed(tokens), Entry::Computed(tokens)])?;
    let masked = b.floats(&[MASKED], dtype, &[1, 1]);
    let full = b.node("Expand", &[&masked, &shape], vec![]);
    let above = b.scalar(1.0, DType::I64);
    Ok(b.node("Trilu", &[&full, &above], vec![attribute::int("upper", 1)]))
}

/// The tables are gathered by relative position (engines fold that into constants), then multiplied with the queries:
/// rows `[h, w, d] · [h, d, h]`, columns the same with the axes swapped.
pub(crate) fn rel_pos(b: &mut Builder<'_>, site: Site<'_>, height: usize, width: usize) -> Result<String> {
    let q = b.value(site.inputs[0])?;
    let from = &site.types[0].shape;
    let lead = |tail: &[usize]| {
        let mut dims = from.0[..2].to_vec();
        dims.extend(tail.iter().map(|&size| Dim::constant(size)));
        Shape(dims)
    };
    let mut grid = lead(&[height, width]);
    grid.0.push(from.0[3].clone());
    let grid_q = b.reshape(&q, from, &grid)?;
    let rows = gathered(b, site, 1, height)?;
    let columns = gathered(b, site, 2, width)?;
    let by_row = b.node("MatMul", &[&grid_q, &rows], vec![]);
    let swapped = b.node("Transpose", &[&grid_q], vec![attribute::ints("perm", [0, 1, 3, 2, 4])]);
    let by_column = b.node("MatMul", &[&swapped, &columns], vec![]);
    let by_column = b.node("Transpose", &[&by_column], vec![attribute::ints("perm", [0, 1, 3, 2, 4])]);
    let (last, before) = (b.ints(&[5]), b.ints(&[4]));
    let by_row = b.node("Unsqueeze", &[&by_row, &last], vec![]);
    let by_column = b.node("Unsqueeze", &[&by_column, &before], vec![]);
    let sum = b.node("Add", &[&by_row, &by_column], vec![]);
    b.reshape(&sum, &lead(&[height, width, height, width]), &lead(&[height * width, height * width]))
}

/// `table [2n-1, d]` → `[n, d, n]` with `result[i, :, j] = table[i - j + n - 1, :]`.
fn gathered(b: &mut Builder<'_>, site: Site<'_>, input: usize, n: usize) -> Result<String> {
    let table = b.value(site.inputs[input])?;
    let relative: Vec<i64> = (0..n * n).map(|at| (at / n + n - 1 - at % n) as i64).collect();
    let index = b.int_table(&relative, &[n, n]);
    let rows = b.node("Gather", &[&table, &index], vec![attribute::int("axis", 0)]);
    Ok(b.node("Transpose", &[&rows], vec![attribute::ints("perm", [0, 2, 1])]))
}

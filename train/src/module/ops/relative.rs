//! SAM's decomposed relative position bias.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use super::{Result, dims};
use crate::error::OperationError;
use crate::module::Value;

/// `bias[(y, x), (i, j)] = q[y, x] · rel_h[y - i + height - 1] + q[y, x] · rel_w[x - j + width - 1]`.
pub(super) fn relative(q: &Value, rel_h: &Value, rel_w: &Value, height: usize, width: usize) -> Result<Value> {
    let [batch, heads, tokens, depth] = dims::<4>(q)?;
    if tokens != height * width {
        return Err(OperationError::Grid { tokens, height, width });
    }
    let grid = q.reshape(&[batch * heads, height, width, depth])?.into_tensor();
    // Rows: [y, n x, d] times [y, d, i]; columns: [x, n y, d] times [x, d, j].
    let by_row = Dispatch::float_permute(grid.clone(), &[1, 0, 2, 3]);
    let by_row = Value::Float(by_row).reshape(&[height, batch * heads * width, depth])?;
    let rows = Dispatch::float_matmul(by_row.into_tensor(), table(rel_h, height)?.into_tensor());
    let rows = Value::Float(rows).reshape(&[height, batch * heads, width, height])?;
    let rows = Dispatch::float_permute(rows.into_tensor(), &[1, 0, 2, 3]);
    let by_column = Dispatch::float_permute(grid, &[2, 0, 1, 3]);
    let by_column = Value::Float(by_column).reshape(&[width, batch * heads * height, depth])?;
    let columns = Dispatch::float_matmul(by_column.into_tensor(), table(rel_w, width)?.into_tensor());
    let columns = Value::Float(columns).reshape(&[width, batch * heads, height, width])?;
    let columns = Dispatch::float_permute(columns.into_tensor(), &[1, 2, 0, 3]);
    let rows = Value::Float(rows).reshape(&[batch, heads, tokens, height, 1])?;
    let columns = Value::Float(columns).reshape(&[batch, heads, tokens, 1, width])?;
    Ok(rows.plus(&columns).reshape(&[batch, heads, tokens, tokens])?)
}

/// `[size, depth, size]`: for each query position the embeddings of all key positions.
fn table(relative: &Value, size: usize) -> Result<Value> {
    let rows: Vec<usize> = (0..size).flat_map(|query| (0..size).map(move |key| query + size - 1 - key)).collect();
    let [_, depth] = dims::<2>(relative)?;
    let picked = relative.pick(&rows).and_then(|picked| picked.reshape(&[size, size, depth]));
    let picked = picked?;
    Ok(Value::Float(Dispatch::float_swap_dims(picked.into_tensor(), 1, 2)))
}

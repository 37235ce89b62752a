//! Operations that turn ids and timesteps into vectors.

use ndarray::{ArrayD, Axis};

use super::tensor::{elements, expect, from_vec, row_major, sizes};
use crate::error::RunError;
use crate::ir::PoolRule;
use crate::tables;

type Floats = ArrayD<f64>;

/// Rows of a table.
pub(super) fn embedding(ids: &ArrayD<i64>, table: &Floats) -> Result<Floats, RunError> {
    let [rows, width] = sizes(table, "table")?;
    let shape = [ids.shape(), &[width]].concat();
    let table = row_major(table);
    let mut result = Vec::with_capacity(elements(&shape)?);
    for &id in ids {
        let row = usize::try_from(id).ok().filter(|row| *row < rows);
        let row = row.ok_or(RunError::Id { id, rows })?;
        result.extend_from_slice(&table[row * width..(row + 1) * width]);
    }
    from_vec(result, &shape)
}

/// The hidden state of the token that stands for the text.
pub(super) fn pool_token(hidden: &Floats, ids: &ArrayD<i64>, rule: PoolRule) -> Result<Floats, RunError> {
    let [batch, tokens, width] = sizes(hidden, "hidden")?;
    expect(ids, &[batch, tokens], "ids")?;
    if tokens == 0 {
        return Err(RunError::EmptyText);
    }
    let mut result = Vec::with_capacity(batch * width);
    for (ids, hidden) in ids.axis_iter(Axis(0)).zip(hidden.axis_iter(Axis(0))) {
        let position = match rule {
            PoolRule::LargestId => {
                let largest = ids.iter().copied().max();
                ids.iter().position(|id| Some(*id) == largest)
            }
            PoolRule::FirstEqual(wanted) => ids.iter().position(|id| *id == wanted),
        };
        result.extend(hidden.index_axis(Axis(0), position.unwrap_or(0)).iter());
    }
    from_vec(result, &[batch, width])
}

/// diffusers' `get_timestep_embedding`. Angles are rounded to f32 at each step, because angles of size 1000 in f32 are off
/// by 3e-5 and every trained model has seen exactly those; sine and cosine are the rounded exact ones.
pub(super) fn timestep_embed(t: &Floats, dim: usize, flip: bool, freq_shift: f64, max_period: f64) -> Result<Floats, RunError> {
    let [count] = sizes(t, "t")?;
    elements(&[dim])?;
    let capacity = elements(&[count, dim])?;
    let frequencies = tables::frequencies(dim / 2, freq_shift, max_period);
    let mut result = Vec::with_capacity(capacity);
    for &t in t {
        let angles = || frequencies.iter().map(|frequency| f64::from(t as f32 * frequency));
        let sines = || angles().map(|angle| f64::from(angle.sin() as f32));
        let cosines = || angles().map(|angle| f64::from(angle.cos() as f32));
        if flip {
            result.extend(cosines().chain(sines()));
        } else {
            result.extend(sines().chain(cosines()));
        }
    }
    from_vec(result, &[count, dim])
}

//! Tables, sinusoidal time embeddings, and the token that stands for a text.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use dmdx_graph::ir::PoolRule;
use dmdx_graph::tables;

use super::{Result, dims};
use crate::error::OperationError;
use crate::module::Value;

pub(super) fn embedding(ids: &Value, table: &Value) -> Result<Value> {
    let [entries, width] = dims::<2>(table)?;
    let flat = ids.to_i64()?;
    let rows: Vec<usize> = flat.iter().filter_map(|&id| usize::try_from(id).ok().filter(|id| *id < entries)).collect();
    if rows.len() != flat.len() {
        return Err(OperationError::Id { entries });
    }
    let mut shape = ids.shape();
    shape.push(width);
    Ok(table.pick(&rows).and_then(|picked| picked.reshape(&shape))?)
}

/// In 32 bits from the exponent on, as diffusers does: an exact table differs by 4e-5 at times near 1000.
pub(super) fn timestep(t: &Value, dim: usize, flip_sin_to_cos: bool, freq_shift: f64, max_period: f64) -> Result<Value> {
    let half = dim / 2;
    let frequencies = tables::frequencies(half, freq_shift, max_period);
    let [samples] = dims::<1>(t)?;
    let column = t.to_float().reshape(&[samples, 1])?;
    let frequencies = Value::float(frequencies, &[1, half], &t.device())?;
    let angles = column.times(&frequencies).into_tensor();
    let sines = Value::Float(Dispatch::float_sin(angles.clone()));
    let cosines = Value::Float(Dispatch::float_cos(angles));
    let parts = if flip_sin_to_cos { [cosines, sines] } else { [sines, cosines] };
    Ok(Value::join(&parts, 1)?)
}

pub(super) fn pool_token(hidden: &Value, ids: &Value, rule: PoolRule) -> Result<Value> {
    let [batch, tokens, width] = dims::<3>(hidden)?;
    let ids = ids.to_i64()?;
    if tokens == 0 || ids.len() != batch * tokens {
        return Err(OperationError::Texts { ids: ids.len(), batch, tokens });
    }
    let position = |row: &[i64]| match rule {
        PoolRule::LargestId => row.iter().enumerate().fold(0, |best, (i, id)| if *id > row[best] { i } else { best }),
        PoolRule::FirstEqual(wanted) => row.iter().position(|id| *id == wanted).unwrap_or(0),
    };
    let rows: Vec<usize> = ids.chunks(tokens).enumerate().map(|(sample, row)| sample * tokens + position(row)).collect();
    let flat = hidden.reshape(&[batch * tokens, width])?;
    Ok(flat.pick(&rows)?)
}

//! The part of a module's change that falls on one parameter, as an expression over its weight.

use dmdx_graph::Weight;
use dmdx_graph::weights::{Magnitude, WeightExpr};

use super::adapters::{Adapter, Lengths, WeightChange};
use super::kinds::Delta;
use super::modules::ModuleWeight;
use crate::error::LoraDefect;
use crate::original::Transform;

/// One change of one parameter.
pub(super) struct Change {
    delta: Delta,
    factor: f64,
    sizes: Option<Vec<usize>>,
    magnitude: Option<Lengths>,
}

impl Change {
    /// The part of an adapter's change that falls on a module's weight, multiplied with the user's `scale`.
    pub(super) fn of_weight(adapter: &Adapter, change: &WeightChange, to: &ModuleWeight, scale: f64) -> Result<Self, LoraDefect> {
        let part = |matrix: &Weight| part(&adapter.module, matrix, to.transform);
        let delta = match &change.delta {
            // What is done with rows of the fused weight is done with rows of `up`.
            Delta::LowRank { up, down } => Delta::LowRank { up: part(up)?, down: down.clone() },
            Delta::Dense(whole) => Delta::Dense(part(whole)?),
        };
        let magnitude = match &change.magnitude {
            None => None,
            Some(Lengths { lengths, axis: 0 }) => {
                let rows = lengths.elements();
                let lengths = WeightExpr::reshape(lengths.clone(), vec![rows]).map_err(|reason| matrix(adapter, reason))?;
                Some(Lengths { lengths: part(&lengths)?, axis: 0 })
            }
            // A column's length is that of the whole fused weight.
            Some(_) if to.transform != Transform::Same => return Err(LoraDefect::Layout { module: adapter.module.clone() }),
            Some(columns) => Some(columns.clone()),
        };
        Ok(Self { delta, factor: factor(adapter, scale * change.factor)?, sizes: change.sizes.clone(), magnitude })
    }

    /// The part that falls on a module's bias.
    pub(super) fn of_bias(
        adapter: &Adapter,
        (bias, own): &(Weight, f64),
        to: &ModuleWeight,
        scale: f64,
    ) -> Result<Self, LoraDefect> {
        let column = vec![bias.elements(), 1];
        let bias = WeightExpr::reshape(bias.clone(), column).map_err(|reason| matrix(adapter, reason))?;
        let delta = Delta::Dense(part(&adapter.module, &bias, to.transform)?);
        Ok(Self { delta, factor: factor(adapter, scale * own)?, sizes: None, magnitude: None })
    }

    /// The parameter's weight with this change.
    pub(super) fn apply(&self, param: &str, weight: Weight) -> Result<Weight, LoraDefect> {
        let misfit = |reason| LoraDefect::Product { param: param.into(), reason };
        let shape = weight.shape().to_vec();
        if let Some(sizes) = self.sizes.as_deref().filter(|sizes| sizes.len() > 1)
            && without_ones(sizes) != without_ones(shape.get(1..).unwrap_or_default())
        {
            return Err(LoraDefect::Sizes { param: param.into(), sizes: sizes.to_vec(), needed: shape });
        }
        let whole = match (&self.delta, &self.magnitude) {
            (Delta::LowRank { up, down }, None) => {
                return WeightExpr::low_rank(weight, up.clone(), down.clone(), self.factor).map_err(misfit);
            }
            (Delta::LowRank { up, down }, Some(_)) => WeightExpr::product(up.clone(), down.clone()).map_err(misfit)?,
            (Delta::Dense(whole), _) => whole.clone(),
        };
        let whole = match shape.first() == whole.shape().first() {
            true => WeightExpr::reshape(whole, shape).map_err(misfit)?,
            false => whole,
        };
        let magnitude = self.magnitude.clone().map(|Lengths { lengths, axis }| Magnitude { lengths, axis });
        WeightExpr::changed(weight, whole, self.factor, magnitude).map_err(misfit)
    }
}

/// A kernel of one element may be written or not.
fn without_ones(mut sizes: &[usize]) -> &[usize] {
    while let [rest @ .., 1] = sizes {
        sizes = rest;
    }
    sizes
}

fn factor(adapter: &Adapter, factor: f64) -> Result<f64, LoraDefect> {
    let module = adapter.module.clone();
    Some(factor).filter(|factor| factor.is_finite()).ok_or(LoraDefect::Factor { module })
}

fn matrix(adapter: &Adapter, reason: dmdx_graph::error::WeightError) -> LoraDefect {
    LoraDefect::Matrix { module: adapter.module.clone(), reason }
}

/// The rows of a change that fall on a parameter.
fn part(module: &str, change: &Weight, transform: Transform) -> Result<Weight, LoraDefect> {
    let module = || module.to_string();
    let matrix = |reason| LoraDefect::Matrix { module: module(), reason };
    match transform {
        Transform::Same => Ok(change.clone()),
        Transform::Rows { part, of } => {
            let rows = change.shape().first().copied().unwrap_or(0);
            if rows % of != 0 {
                return Err(LoraDefect::Rows { module: module(), rows, parts: of });
            }
            WeightExpr::rows(change.clone(), part * (rows / of), rows / of).map_err(matrix)
        }
        Transform::SwapHalves => WeightExpr::swap_halves(change.clone()).map_err(matrix),
        Transform::Transpose | Transform::Pointwise => Err(LoraDefect::Layout { module: module() }),
    }
}

//! Reading ODE pairs.

use std::path::Path;

use super::pair_plan::PairPlan;
use super::rows::{RowStore, floats};
use crate::error::TrainError;

/// A complete, checked set of pairs. They stay on the disk until they are asked for.
#[derive(Clone, Debug)]
pub struct PairStore {
    rows: RowStore,
    latent_shape: Vec<usize>,
    prompt_count: usize,
}

/// Some pairs, in the order asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairBatch {
    /// x_T, `[batch, ..latent_shape]`.
    pub noise: Vec<f32>,
    /// x_0, `[batch, ..latent_shape]`.
    pub latents: Vec<f32>,
    /// Prompt ids, `[batch]`.
    pub prompts: Vec<u32>,
    /// The teacher's guidance weights, `[batch]`.
    pub guidance: Vec<f32>,
}

impl PairStore {
    /// Opens the pairs in `folder` and reads every byte of them once, against the hashes and the plan's provenance.
    ///
    /// # Errors
    /// [`TrainError::StoreMismatch`], [`TrainError::Damaged`], [`TrainError::Read`].
    pub fn open(folder: &Path, plan: &PairPlan) -> Result<Self, TrainError> {
        Ok(Self::new(RowStore::open(folder, &plan.rows())?, plan))
    }

    /// The pairs of `plan` in rows that were checked.
    pub(super) fn new(rows: RowStore, plan: &PairPlan) -> Self {
        Self { rows, latent_shape: plan.latent_shape.clone(), prompt_count: plan.prompt_count }
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of one latent, without the batch.
    pub fn latent_shape(&self) -> &[usize] {
        &self.latent_shape
    }

    /// The pairs numbered `indices`, as f32.
    ///
    /// # Errors
    /// [`TrainError::NoRow`] where there is no such pair or a pair is of no prompt, [`TrainError::Read`].
    pub fn batch(&self, indices: &[i64]) -> Result<PairBatch, TrainError> {
        let numbers = indices.iter().map(|&index| self.rows.row(index)).collect::<Result<Vec<_>, _>>()?;
        let (count, size) = (numbers.len(), self.latent_shape.iter().product::<usize>());
        let mut batch = PairBatch {
            noise: vec![0.0; count * size],
            latents: vec![0.0; count * size],
            prompts: vec![0; count],
            guidance: vec![0.0; count],
        };
        self.rows.visit(&numbers, |place, column, bytes| {
            let column = &self.rows.columns()[column];
            let latent = place * size..(place + 1) * size;
            match column.name.as_str() {
                "guidance" => floats(column.dtype, bytes, &mut batch.guidance[place..=place]),
                "prompt" => batch.prompts[place] = bytes.first_chunk().map_or(u32::MAX, |&bytes| u32::from_le_bytes(bytes)),
                "x_0" => floats(column.dtype, bytes, &mut batch.latents[latent]),
                _ => floats(column.dtype, bytes, &mut batch.noise[latent]),
            }
            Ok(())
        })?;
        match batch.prompts.iter().find(|&&prompt| prompt as usize >= self.prompt_count) {
            None => Ok(batch),
            Some(&prompt) => Err(TrainError::NoRow { one: "prompt", number: i64::from(prompt), count: self.prompt_count }),
        }
    }
}

//! Reading real latents.

use std::path::Path;

use super::latent_plan::LatentPlan;
use super::rows::{RowStore, floats};
use crate::error::TrainError;

/// A complete, checked set of real latents. They stay on the disk until they are asked for.
#[derive(Clone, Debug)]
pub struct LatentStore {
    rows: RowStore,
    latent_len: usize,
    first_caption: usize,
}

/// Some latents, in the order asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatentBatch {
    /// x_0, `[batch, ..latent_shape]`.
    pub latents: Vec<f32>,
    /// Their captions by id, among the conditions of all texts.
    pub captions: Vec<usize>,
}

impl LatentStore {
    /// Opens the latents in `folder` and reads every byte of them once, against the hashes and the plan's provenance; their
    /// captions are numbered from `first_caption` on.
    ///
    /// # Errors
    /// [`TrainError::StoreMismatch`], [`TrainError::Damaged`], [`TrainError::Read`].
    pub fn open(folder: &Path, plan: &LatentPlan, first_caption: usize) -> Result<Self, TrainError> {
        Ok(Self::new(RowStore::open(folder, &plan.rows())?, plan, first_caption))
    }

    /// The latents of `plan` in rows that were checked.
    pub(super) fn new(rows: RowStore, plan: &LatentPlan, first_caption: usize) -> Self {
        Self { rows, latent_len: plan.latent_len(), first_caption }
    }

    /// How many latents there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latents numbered `indices`, as f32.
    ///
    /// # Errors
    /// [`TrainError::NoRow`] where there is no such latent, [`TrainError::Read`].
    pub fn batch(&self, indices: &[i64]) -> Result<LatentBatch, TrainError> {
        let numbers = indices.iter().map(|&index| self.rows.row(index)).collect::<Result<Vec<_>, _>>()?;
        let size = self.latent_len;
        let mut latents = vec![0.0; numbers.len() * size];
        self.rows.visit(&numbers, |place, column, bytes| {
            floats(self.rows.columns()[column].dtype, bytes, &mut latents[place * size..(place + 1) * size]);
            Ok(())
        })?;
        Ok(LatentBatch { latents, captions: numbers.into_iter().map(|number| self.first_caption + number).collect() })
    }
}

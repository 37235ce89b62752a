//! Reading conditions by prompt id.

use std::path::Path;

use super::input_rows::InputRows;
use super::plan::ConditionPlan;
use super::unconditional;
use crate::data::rows::{RowStore, floats};
use crate::error::TrainError;

/// The conditions of all prompts, every byte of which was checked once. They stay on the disk until they are asked for;
/// the unconditional row is held.
#[derive(Clone, Debug)]
pub struct ConditionStore {
    rows: RowStore,
    unconditional: Vec<InputRows>,
}

impl ConditionStore {
    /// Opens the complete conditions in `folder`.
    ///
    /// # Errors
    /// [`TrainError::StoreMismatch`], [`TrainError::Damaged`], [`TrainError::Read`].
    pub fn open(folder: &Path, plan: &ConditionPlan) -> Result<Self, TrainError> {
        let unconditional = unconditional::read(folder, plan)?.ok_or_else(|| {
            TrainError::damaged(unconditional::path(folder), "it is missing; run the recipe again with --resume to have it made")
        })?;
        Ok(Self::new(RowStore::open(folder, &plan.rows(&unconditional))?, unconditional))
    }

    /// The conditions in rows that were checked; `unconditional` is one row of every input, sorted by name.
    pub(super) fn new(rows: RowStore, unconditional: Vec<InputRows>) -> Self {
        Self { rows, unconditional }
    }

    /// How many prompts there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unconditional row of every input, sorted by name.
    pub fn unconditional(&self) -> &[InputRows] {
        &self.unconditional
    }

    /// The conditions of the prompts `ids`, in that order: `[ids.len(), ..]` of every input, sorted by name.
    ///
    /// # Errors
    /// [`TrainError::NoRow`] where there is no such prompt, [`TrainError::Read`].
    pub fn read(&self, ids: &[usize]) -> Result<Vec<InputRows>, TrainError> {
        let empty = |input: &InputRows| InputRows {
            name: input.name.clone(),
            shape: input.shape.clone(),
            values: vec![0.0; ids.len() * input.row_len()],
        };
        let mut inputs: Vec<InputRows> = self.unconditional.iter().map(empty).collect();
        self.rows.visit(ids, |place, column, bytes| {
            let size = inputs[column].row_len();
            floats(self.rows.columns()[column].dtype, bytes, &mut inputs[column].values[place * size..(place + 1) * size]);
            Ok(())
        })?;
        Ok(inputs)
    }
}

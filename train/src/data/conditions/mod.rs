//! Conditions of prompts: embedded once, kept on the disk by prompt id, the unconditional one beside them once.
//!
//! A folder of conditions holds `unconditional.safetensors`, shards `conditions-00000.safetensors` and `COMPLETE.json`.
//! Inputs that do not depend on the prompt (sizes, rotary tables) are no part of them.

mod collect;
mod picked;
mod plan;
mod store;
mod unconditional;

pub use collect::collect;
pub use picked::StoredConditions;
pub use plan::{ConditionPlan, UnconditionalRow};
pub use store::ConditionStore;

/// Some rows of one input of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputRows {
    /// The input's name.
    pub name: String,
    /// Shape of one row.
    pub shape: Vec<usize>,
    /// The values, `[rows, ..shape]`.
    pub values: Vec<f32>,
}

impl InputRows {
    /// How many values one row has.
    pub fn row_len(&self) -> usize {
        self.shape.iter().product()
    }
}

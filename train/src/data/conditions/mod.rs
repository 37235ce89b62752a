//! Conditions of prompts: embedded once, kept on the disk by prompt id, the unconditional one beside them once.
//!
//! A folder of conditions holds `unconditional.safetensors`, shards `conditions-00000.safetensors` and `COMPLETE.json`.
//! Inputs that do not depend on the prompt (sizes, rotary tables) are no part of them.

mod collect;
mod input_rows;
mod picked;
mod plan;
mod store;
mod unconditional;

pub use collect::collect;
pub use input_rows::InputRows;
pub use picked::StoredConditions;
pub use plan::ConditionPlan;
pub use store::ConditionStore;

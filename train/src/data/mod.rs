//! What the methods learn from: prompts, their conditions, and ODE pairs.

pub mod conditions;
mod lines;
mod pair_plan;
mod pair_store;
mod pairs;
mod prompts;
mod rows;
mod template;

pub use conditions::{ConditionPlan, ConditionStore, StoredConditions};
pub use pair_plan::{PairPlan, ShardInputs};
pub use pair_store::{PairBatch, PairStore};
pub use pairs::collect;
pub use prompts::Prompts;

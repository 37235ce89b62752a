//! What the methods learn from: prompts and ODE pairs.

pub mod pair_plan;
pub mod pair_store;
pub mod pairs;
pub mod prompts;

pub use pair_plan::{PairPlan, ShardInputs};
pub use pair_store::{PairBatch, PairStore};
pub use pairs::collect;

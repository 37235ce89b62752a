//! What the methods learn from: prompts and ODE pairs.

pub mod hash;
pub mod pair_plan;
pub mod pair_store;
pub mod pairs;
pub mod prompts;
pub mod tensor_file;

pub use pair_plan::{PairPlan, ShardInputs};
pub use pair_store::{PairBatch, PairStore};
pub use pairs::collect;

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

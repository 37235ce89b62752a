//! What the methods learn from: prompts, their conditions, ODE pairs, and latents of real pictures.

mod captions;
pub mod conditions;
mod latent_plan;
mod latent_store;
mod latents;
mod lines;
mod pair_plan;
mod pair_store;
mod pairs;
mod pictures;
mod prompt_file;
mod prompts;
mod rows;
mod stamped;
mod template;

pub use captions::Captions;
pub use conditions::{ConditionPlan, ConditionStore, StoredConditions};
pub use latent_plan::LatentPlan;
pub use latent_store::{LatentBatch, LatentStore};
pub use latents::{PictureChunk, encode_all};
pub use pair_plan::{PairPlan, ShardInputs};
pub use pair_store::{PairBatch, PairStore};
pub use pairs::collect;
pub use pictures::Pictures;
pub use prompts::Prompts;

//! What lies on the disk: files that are there whole or not at all, logs that grow, hashes, tensors, a phase's state.

pub mod append;
pub mod atomic;
pub mod hash;
pub mod role;
pub mod state;
pub mod tensor_file;

pub use role::{GENERATOR, NamedRoles, Parameters, Role};
pub use state::StoredState;

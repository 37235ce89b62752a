//! Files of the Hugging Face libraries: configurations, safetensors, sharded indices, tokenizers' files.

pub mod config;
pub(crate) mod discover;
pub(crate) mod first_bytes;
mod index;
pub mod json;
mod layout;
pub mod safetensors;
mod scaled;
pub mod tensors;
pub mod tokenizer;
pub(crate) mod wrappers;

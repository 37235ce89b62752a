//! Files of the Hugging Face libraries: configurations, safetensors, sharded indices, tokenizers' files.

pub mod config;
pub(crate) mod discover;
mod index;
pub mod json;
mod layout;
pub mod safetensors;
pub mod tensors;
pub mod tokenizer;

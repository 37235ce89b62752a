//! Files of the Hugging Face libraries: configurations, safetensors, sharded indices, tokenizers' files.

pub mod config;
pub mod discover;
pub mod index;
pub mod json;
mod layout;
pub mod safetensors;
pub mod tensors;
pub mod tokenizer;

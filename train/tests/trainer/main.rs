//! The trainer without any network: recipes, draws, checkpoints, resuming, pairs, health, logs, reports.
#![allow(clippy::unwrap_used, missing_docs)]

mod checkpoint;
mod cli;
mod conditions;
#[path = "../../../importer/tests/counting/mod.rs"]
mod counting;
mod draws;
#[path = "../events/mod.rs"]
mod events;
mod fixtures;
mod full_disk;
mod health;
mod job;
mod latents;
mod logs;
mod pairs;
mod prompt_files;
mod prompts;
mod recipe;
mod report;
mod resume;
mod rooms;
mod streaming;
mod tensor_file;
mod toy;

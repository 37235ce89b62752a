//! The interpreter against reference libraries, every rule on its witnesses, properties of random graphs, and files that are
//! written whole or not at all.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/src/op_cases.rs"]
mod op_cases;

mod driver;
mod golden;
mod properties;
mod rules;
mod simplify;
mod store;
mod values;

//! The interpreter against reference libraries, every rule on its witnesses, and properties of random graphs.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/src/op_cases.rs"]
mod op_cases;

mod driver;
mod golden;
mod properties;
mod rules;
mod values;

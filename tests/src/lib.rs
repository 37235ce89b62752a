//! Tests that cross crates

pub mod op_cases;

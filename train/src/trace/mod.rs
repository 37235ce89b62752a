//! Recorded training iterations: the file, the networks that it starts from, and how results are compared with it. What is
//! repeated is the method's own affair.

mod compare;
mod recorded;
mod teacher;

pub use compare::{Comparison, ReplayReport};
pub(crate) use compare::{Results, compare};
pub(crate) use recorded::Trace;
pub(crate) use teacher::{LAYOUT, Teacher, component, part};

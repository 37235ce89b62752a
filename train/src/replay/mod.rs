//! `dmdx-train replay`: repeats a recorded training iteration and compares every number.

mod adm;
mod adp;
mod compare;
mod teacher;
mod trace;

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::error::TrainError;

pub use compare::{Comparison, ReplayReport};

/// The zoo's folder where nobody names one: beside the folder of the trace.
pub fn default_zoo(trace: &Path) -> PathBuf {
    trace.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("zoo")
}

/// Repeats the iteration of `trace` on the networks in `zoo`.
///
/// `tolerance` is the largest relative L2 error of a gradient; values and gradient norms get a tenth of it, the first
/// and the squashing convolutions of the heads, which sum most, five times as much. Of updated weights at most 0.1 % may
/// be off by more than 2 % of the learning rate: where a gradient is rounding noise its sign is too.
///
/// # Errors
/// When the trace or a network cannot be read, or the trace's method is not available.
pub fn run(trace: &Path, zoo: &Path, tolerance: f64, device: &Device) -> Result<ReplayReport, TrainError> {
    let trace = trace::Trace::open(trace)?;
    let results = match trace.method() {
        "adp" => adp::run(&trace, zoo, device)?,
        "adm" => adm::run(&trace, zoo, device)?,
        other => {
            return Err(TrainError::Invalid(format!(
                "the trace {} is of the method {other}, which is not available yet; adp and adm are",
                trace.name()
            )));
        }
    };
    compare::compare(&trace, &results, tolerance)
}

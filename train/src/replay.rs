//! `dmdx-train replay`: repeats a recorded training iteration and compares every number.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::error::{TraceDefect, TrainError};
use crate::method::METHODS;
use crate::trace::{self, ReplayReport, Trace};

/// The zoo's folder where nobody names one: beside the folder of the trace.
pub fn default_zoo(trace: &Path) -> PathBuf {
    trace.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("zoo")
}

/// Repeats the iteration of `trace` on the networks in `zoo`.
///
/// `tolerance` is the largest relative L2 error of a gradient; values and gradient norms get a tenth of it, the first
/// and the squashing convolutions of the heads, which sum most, five times as much. Of updated weights at most 0.1 % may
/// be off by more than 2 % of the learning rate, of low-rank factors two elements: where a gradient is rounding noise its sign
/// is too. Where the recording's
/// own float32 and float64 differ more, five times that difference is allowed, up to five times `tolerance`.
///
/// # Errors
/// When the trace or a network cannot be read, or the trace's method is not available.
pub fn run(trace: &Path, zoo: &Path, tolerance: f64, device: &Device) -> Result<ReplayReport, TrainError> {
    let trace = Trace::open(trace)?;
    let Some(method) = METHODS.iter().find(|method| method.section.name == trace.method()) else {
        let known = METHODS.iter().map(|method| method.section.name).collect();
        return Err(trace.defect(TraceDefect::Method { name: trace.method().to_string(), known }));
    };
    trace::compare(&trace, &(method.replay)(&trace, zoo, device)?, tolerance)
}

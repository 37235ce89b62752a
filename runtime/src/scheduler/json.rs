//! JSON as Python writes it.

use dmdx_graph::json::quote_non_finite;
use serde_json::Value;

use crate::Error;
use crate::error::SchedulerError;

/// Longest text: a table of trained betas has 100,000 numbers at most.
const MOST_BYTES: usize = 4 << 20;

/// Reads JSON in which the bare words `-Infinity`, `Infinity` and `NaN`, which Python's json module writes, become strings.
///
/// # Errors
/// [`Error::Scheduler`] for any other text.
pub(super) fn parse(text: &str) -> Result<Value, Error> {
    let refuse = |problem: String| Error::from(SchedulerError::Syntax { problem: format!("cannot be read: {problem}") });
    if text.len() > MOST_BYTES {
        return Err(refuse(format!("it has {} bytes, more than {MOST_BYTES}", text.len())));
    }
    serde_json::from_str(&quote_non_finite(text)).map_err(|source| refuse(source.to_string()))
}

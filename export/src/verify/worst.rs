//! How far results are from what they should be.

use dmdx_graph::interp;
use dmdx_runtime::manifest::Verification;
use dmdx_runtime::{Data, Tensor};

use crate::error::{ExportError, Result};

/// The largest errors so far; an output of the wrong shape or with NaN counts as infinitely wrong.
#[derive(Default)]
pub(super) struct Worst {
    absolute: f64,
    relative: f64,
    output: String,
}

impl Worst {
    /// Takes one output into account.
    pub(super) fn compare(&mut self, name: &str, expected: &interp::Tensor, computed: &[(String, Tensor)]) {
        let (absolute, relative) = match computed.iter().find(|(output, _)| output == name) {
            Some((_, tensor)) if tensor.shape() == expected.shape() => difference(&expected.to_f64(), tensor.data()),
            _ => (f64::INFINITY, f64::INFINITY),
        };
        if relative > self.relative || self.output.is_empty() {
            (self.relative, self.output) = (relative, name.into());
        }
        self.absolute = self.absolute.max(absolute);
    }

    /// Why it cannot be accepted, or `None`.
    fn refusal(&self, component: &str, engine: &str, tolerance: f64) -> Option<ExportError> {
        (self.relative > tolerance).then(|| ExportError::Verification {
            component: component.into(),
            engine: engine.into(),
            output: self.output.clone(),
            relative: self.relative,
            tolerance,
        })
    }

    fn record(&self, engine: String, tolerance: f64) -> Verification {
        let problem = match (self.relative.is_finite(), self.relative > tolerance) {
            (false, _) => Some(format!("output {} has another shape than the source's or is not finite", self.output)),
            (true, true) => Some(format!("output {} is beyond the tolerance", self.output)),
            (true, false) => None,
        };
        // JSON has no infinity; what was computed is not known to be anything.
        let finite = |error: f64| if error.is_finite() { error } else { f64::MAX };
        Verification { engine, max_absolute: finite(self.absolute), relative: finite(self.relative), tolerance, problem }
    }
}

/// What every engine found. One that holds proves the file: what another makes of it is that engine's error, and is recorded
/// with it. Refuses a file that none proves.
pub(super) fn judged(
    component: &str,
    outcomes: Vec<(String, std::result::Result<Worst, dmdx_runtime::Error>)>,
    tolerance: f64,
) -> Result<Vec<Verification>> {
    let holds = |outcome: &std::result::Result<Worst, _>| outcome.as_ref().is_ok_and(|worst| worst.relative <= tolerance);
    let is_proven = outcomes.iter().any(|(_, outcome)| holds(outcome));
    let mut measured = Vec::new();
    for (engine, outcome) in outcomes {
        match outcome {
            Ok(worst) => {
                if let Some(refusal) = worst.refusal(component, &engine, tolerance).filter(|_| !is_proven) {
                    return Err(refusal);
                }
                measured.push(worst.record(engine, tolerance));
            }
            Err(source) if !is_proven => {
                return Err(ExportError::Engine { component: component.into(), source: Box::new(source) });
            }
            Err(source) => {
                let problem = Some(format!("it cannot run the file: {}", source.chain()));
                measured.push(Verification { engine, max_absolute: f64::MAX, relative: f64::MAX, tolerance, problem });
            }
        }
    }
    Ok(measured)
}

/// Largest difference, absolute and relative to the largest expected value.
fn difference(expected: &[f64], computed: &Data) -> (f64, f64) {
    let computed: Vec<f64> = match computed {
        Data::F32(values) => values.iter().map(|&v| f64::from(v)).collect(),
        Data::I64(values) => values.iter().map(|&v| v as f64).collect(),
    };
    let largest = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let pairs = expected.iter().zip(&computed);
    // `max` would drop a NaN.
    let absolute = pairs.fold(0.0f64, |most, (a, b)| if (a - b).is_nan() { f64::INFINITY } else { most.max((a - b).abs()) });
    let relative = if absolute == 0.0 { 0.0 } else { absolute / largest };
    (absolute, relative)
}

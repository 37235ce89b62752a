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
    /// Takes one output of an engine into account.
    pub(super) fn compare(&mut self, name: &str, expected: &interp::Tensor, computed: &[(String, Tensor)]) {
        let found = computed.iter().find(|(output, _)| output == name);
        let values = found.map(|(_, tensor)| (tensor.shape(), floats(tensor.data())));
        match values {
            Some((shape, values)) => self.take(name, Some(expected), shape, &values),
            None => self.take(name, None, &[], &[]),
        }
    }

    /// Takes an output of this shape with these elements into account.
    pub(super) fn take(&mut self, name: &str, expected: Option<&interp::Tensor>, shape: &[usize], computed: &[f64]) {
        let (absolute, relative) = match expected.filter(|expected| expected.shape() == shape) {
            Some(expected) => difference(&expected.to_f64(), computed),
            None => (f64::INFINITY, f64::INFINITY),
        };
        if relative > self.relative || self.output.is_empty() {
            (self.relative, self.output) = (relative, name.into());
        }
        self.absolute = self.absolute.max(absolute);
    }

    /// The largest difference, relative to the largest value of its output.
    pub(super) fn relative(&self) -> f64 {
        self.relative
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

fn floats(data: &Data) -> Vec<f64> {
    match data {
        Data::F32(values) => values.iter().map(|&v| f64::from(v)).collect(),
        Data::I64(values) => values.iter().map(|&v| v as f64).collect(),
    }
}

/// Largest difference, absolute and relative to the largest expected value.
fn difference(expected: &[f64], computed: &[f64]) -> (f64, f64) {
    let largest = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let pairs = expected.iter().zip(computed);
    // `max` would drop a NaN.
    let absolute = pairs.fold(0.0f64, |most, (a, b)| if (a - b).is_nan() { f64::INFINITY } else { most.max((a - b).abs()) });
    let relative = if absolute == 0.0 { 0.0 } else { absolute / largest };
    (absolute, relative)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dmdx_graph::interp;
    use dmdx_runtime::Error;

    use super::{Worst, judged};

    fn off_by(error: f64) -> Worst {
        let mut worst = Worst::default();
        let expected = interp::Tensor::from_f64(vec![4.0, 1.0], &[2]).unwrap();
        worst.take("y", Some(&expected), &[2], &[4.0, 1.0 + 4.0 * error]);
        worst
    }

    /// One engine that holds is enough, whatever the others do; without it the first one's failure is told.
    #[test]
    fn one_engine_proves_a_file() {
        let broken = || Err(Error::Library("it is broken".into()));
        let judge = |outcomes: Vec<Result<Worst, Error>>| {
            let named = outcomes.into_iter().zip(["a 1", "b 2"]).map(|(outcome, name)| (name.to_string(), outcome));
            judged("unet", named.collect(), 1e-3).map_err(|error| error.to_string())
        };
        let problems =
            |outcomes| -> Vec<Option<String>> { judge(outcomes).unwrap().into_iter().map(|one| one.problem).collect() };
        assert_eq!(problems(vec![Ok(off_by(1e-4)), Ok(off_by(1e-4))]), [None, None]);
        let missed = Some("output y is beyond the tolerance".to_string());
        assert_eq!(problems(vec![Ok(off_by(0.5)), Ok(off_by(1e-4))]), [missed, None]);
        let cannot = problems(vec![Ok(off_by(1e-4)), broken()]);
        assert!(cannot[1].as_ref().unwrap().contains("it is broken"), "{cannot:?}");
        let not_finite = problems(vec![Ok(off_by(f64::NAN)), Ok(off_by(0.0))]);
        assert!(not_finite[0].as_ref().unwrap().contains("not finite"), "{not_finite:?}");
        let refused = judge(vec![Ok(off_by(0.5)), Ok(off_by(0.25))]).unwrap_err();
        assert!(refused.starts_with("unet run by a 1 differs from its source: output y by 5e-1"), "{refused}");
        assert!(judge(vec![broken(), Ok(off_by(0.25))]).unwrap_err().contains("it is broken"));
    }
}

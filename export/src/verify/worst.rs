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

    /// Refuses what is beyond the tolerance; otherwise `measured` gets the errors under the engine, or keeps the larger ones.
    pub(super) fn record(self, component: &str, engine: String, tolerance: f64, measured: &mut Vec<Verification>) -> Result<()> {
        if self.relative > tolerance {
            let (component, output, relative) = (component.into(), self.output, self.relative);
            return Err(ExportError::Verification { component, engine, output, relative, tolerance });
        }
        match measured.iter_mut().find(|one| one.engine == engine) {
            Some(one) => {
                one.max_absolute = one.max_absolute.max(self.absolute);
                one.relative = one.relative.max(self.relative);
            }
            None => measured.push(Verification { engine, max_absolute: self.absolute, relative: self.relative, tolerance }),
        }
        Ok(())
    }
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

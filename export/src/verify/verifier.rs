//! Runs what was written against its source: tract always, ONNX Runtime where it is found, the interpreter as the truth.

mod sample;

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::ir::Bindings;
use dmdx_graph::{Graph, interp};
use dmdx_runtime::bundle::manifest::Verification;
use dmdx_runtime::engine::locate::locate;
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::{Data, Engine, Tensor};
pub use sample::{Sizes, run_sizes, sample_inputs};

use crate::error::{ExportError, Result};
use crate::model::Names;

/// Largest difference that f32 may make, relative to the largest value of an output (graph.md, 3.10).
///
/// Engines sum in other orders than the f64 interpreter: one operation differs by at most 2e-6 of its largest value, a whole
/// network by a few times that.
pub const FLOAT32_TOLERANCE: f64 = 1e-5;

/// The engines that verify, loaded once.
pub struct Verifier {
    engines: Vec<Box<dyn Engine>>,
    missing: Option<String>,
    /// The largest relative error that is accepted.
    pub tolerance: f64,
}

impl Verifier {
    /// tract, and ONNX Runtime from `library`, `ORT_DYLIB_PATH` or beside the executable.
    ///
    /// # Errors
    /// [`ExportError::Engine`] when a library is named but unsuitable. That none is named at all is no error, see
    /// [`Verifier::missing`].
    pub fn new(library: Option<&Path>, threads: usize) -> Result<Self> {
        let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(TractEngine::new(threads))];
        let named = library.is_some() || std::env::var_os("ORT_DYLIB_PATH").is_some();
        let found = locate(library).and_then(|library| OrtEngine::new(&library, threads));
        let missing = match found {
            Ok(engine) => {
                engines.push(Box::new(engine));
                None
            }
            Err(source) if named => return Err(ExportError::Engine { component: "the bundle".into(), source }),
            Err(error) => Some(error.to_string()),
        };
        Ok(Self { engines, missing, tolerance: FLOAT32_TOLERANCE })
    }

    /// `tract 0.23.9`, and so on.
    pub fn engines(&self) -> Vec<String> {
        self.engines.iter().map(|engine| label(engine.as_ref())).collect()
    }

    /// Why ONNX Runtime does not take part, if it does not.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Runs a written model on one seeded input of the sizes `run`, by every engine, against the interpreter on its source.
    /// `measured` gets one entry per engine, or, if it has them already, the larger of old and new errors.
    ///
    /// # Errors
    /// [`ExportError::Verification`] beyond the tolerance, [`ExportError::Engine`] when an engine cannot run the file.
    pub fn run(&self, measured: &mut Vec<Verification>, model: &WrittenModel<'_>, run: &Bindings, seed: u64) -> Result<()> {
        let mut source = model.graph.clone();
        source.retain_marks(|_| false);
        source.remove_dead();
        let inputs = sample_inputs(&source, run, seed)?;
        let expected = interp::run(&source, &inputs)?.outputs;
        self.compare(measured, model, &inputs, &expected)
    }

    /// As [`Verifier::run`], on given inputs and results, both under the source's names.
    ///
    /// # Errors
    /// As [`Verifier::run`].
    pub fn compare(
        &self,
        measured: &mut Vec<Verification>,
        model: &WrittenModel<'_>,
        inputs: &BTreeMap<String, interp::Tensor>,
        expected: &BTreeMap<String, interp::Tensor>,
    ) -> Result<()> {
        let fail = |source| ExportError::Engine { component: model.component.into(), source };
        let given = inputs.iter().map(|(name, tensor)| Ok((model.names.input(name), to_engine(tensor)?)));
        let given: Vec<(String, Tensor)> = given.collect::<std::result::Result<_, _>>().map_err(fail)?;
        let given: Vec<(&str, &Tensor)> = given.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        for engine in &self.engines {
            let computed = engine.load(model.path).and_then(|session| session.run(&given)).map_err(fail)?;
            let mut worst = Worst::default();
            for (name, expected) in expected {
                worst.compare(&model.names.output(name), expected, &computed);
            }
            worst.record(model.component, label(engine.as_ref()), self.tolerance, measured)?;
        }
        Ok(())
    }
}

/// A written model beside its source.
pub struct WrittenModel<'a> {
    /// What it is called in messages.
    pub component: &'a str,
    /// The source.
    pub graph: &'a Graph,
    /// The public names that it was written with.
    pub names: &'a Names,
    /// The file.
    pub path: &'a Path,
}

fn label(engine: &dyn Engine) -> String {
    format!("{} {}", engine.name(), engine.version())
}

fn to_engine(tensor: &interp::Tensor) -> std::result::Result<Tensor, dmdx_runtime::Error> {
    match tensor {
        interp::Tensor::Float(_) => Tensor::f32(tensor.shape(), tensor.to_f32()),
        interp::Tensor::Int(values) => Tensor::i64(tensor.shape(), values.iter().copied().collect()),
    }
}

/// The largest errors so far; an output of the wrong shape or with NaN counts as infinitely wrong.
#[derive(Default)]
struct Worst {
    absolute: f64,
    relative: f64,
    output: String,
}

impl Worst {
    fn compare(&mut self, name: &str, expected: &interp::Tensor, computed: &[(String, Tensor)]) {
        let (absolute, relative) = match computed.iter().find(|(output, _)| output == name) {
            Some((_, tensor)) if tensor.shape() == expected.shape() => difference(&expected.to_f64(), tensor.data()),
            _ => (f64::INFINITY, f64::INFINITY),
        };
        if relative > self.relative || self.output.is_empty() {
            (self.relative, self.output) = (relative, name.into());
        }
        self.absolute = self.absolute.max(absolute);
    }

    fn record(self, component: &str, engine: String, tolerance: f64, measured: &mut Vec<Verification>) -> Result<()> {
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

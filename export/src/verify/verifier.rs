//! Runs what was written against its source, by the engines that its target names, with the interpreter as the truth.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::ir::Bindings;
use dmdx_graph::{Graph, interp};
use dmdx_runtime::engine::locate::locate;
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::manifest::Verification;
use dmdx_runtime::{Engine, Tensor};

use super::sample::sample_inputs;
use super::worst::Worst;
use crate::error::{ExportError, Result};
use crate::options::GraphOptions;
use crate::targets::{EngineKind, Presence, Target};

/// The engines of this machine, loaded once for any number of targets.
pub struct Verifier {
    tract: Box<dyn Engine>,
    onnxruntime: Option<Box<dyn Engine>>,
    missing: Option<String>,
    /// The largest relative error that is accepted, in place of the target's.
    pub tolerance: Option<f64>,
}

impl Verifier {
    /// tract, and ONNX Runtime from `library`, `ORT_DYLIB_PATH` or beside the executable.
    ///
    /// # Errors
    /// [`ExportError::Engine`] when a library is named but unsuitable. That none is named at all is no error, see
    /// [`Verifier::missing`].
    pub fn new(library: Option<&Path>, threads: usize) -> Result<Self> {
        let named = library.is_some() || std::env::var_os("ORT_DYLIB_PATH").is_some();
        let found = locate(library).and_then(|library| OrtEngine::new(&library, threads));
        let (onnxruntime, missing): (Option<Box<dyn Engine>>, _) = match found {
            Ok(engine) => (Some(Box::new(engine)), None),
            Err(source) if named => {
                return Err(ExportError::Engine { component: "the bundle".into(), source: Box::new(source) });
            }
            Err(error) => (None, Some(error.to_string())),
        };
        Ok(Self { tract: Box::new(TractEngine::new(threads)), onnxruntime, missing, tolerance: None })
    }

    /// `tract 0.23.9`, and so on.
    pub fn engines(&self) -> Vec<String> {
        [Some(&self.tract), self.onnxruntime.as_ref()].into_iter().flatten().map(|engine| label(engine.as_ref())).collect()
    }

    /// Why ONNX Runtime does not take part, if it does not.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// The engines that the target asks for and this machine has.
    fn engines_of(&self, target: &Target) -> Result<Vec<&dyn Engine>> {
        let mut engines = Vec::new();
        for (kind, presence) in target.engines {
            let engine = match kind {
                EngineKind::Tract => Some(&self.tract),
                EngineKind::OnnxRuntime => self.onnxruntime.as_ref(),
            };
            match (engine, presence) {
                (Some(engine), _) => engines.push(engine.as_ref()),
                (None, Presence::WhereFound) => {}
                (None, Presence::Required) => {
                    let reason = self.missing.clone().unwrap_or_default();
                    return Err(ExportError::NoEngine { target: target.name, reason });
                }
            }
        }
        Ok(engines)
    }

    /// Runs a written model on one seeded input of the sizes `run`, by every engine, against the interpreter on its source.
    /// `measured` gets one entry per engine, or, if it has them already, the larger of old and new errors.
    ///
    /// # Errors
    /// [`ExportError::Verification`] beyond the tolerance, [`ExportError::Engine`] when an engine cannot run the file,
    /// [`ExportError::NoEngine`] when one that the target cannot do without is not there.
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
        let fail = |source| ExportError::Engine { component: model.component.into(), source: Box::new(source) };
        let given = inputs.iter().map(|(name, tensor)| Ok((model.options.names.input(name), to_engine(tensor)?)));
        let given: Vec<(String, Tensor)> = given.collect::<std::result::Result<_, _>>().map_err(fail)?;
        let given: Vec<(&str, &Tensor)> = given.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let target = model.options.target;
        let tolerance = self.tolerance.unwrap_or(target.tolerance);
        for engine in self.engines_of(target)? {
            let computed = engine.load(model.path).and_then(|session| session.run(&given)).map_err(fail)?;
            let mut worst = Worst::default();
            for (name, expected) in expected {
                worst.compare(&model.options.names.output(name), expected, &computed);
            }
            worst.record(model.component, label(engine), tolerance, measured)?;
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
    /// What it was written with.
    pub options: &'a GraphOptions,
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

#[cfg(test)]
mod tests {
    use dmdx_runtime::engine::tract::TractEngine;

    use super::{EngineKind, Presence, Target, Verifier};
    use crate::targets::COMPAT;

    #[test]
    fn a_target_is_verified_by_its_own_engines() {
        let verifier = Verifier {
            tract: Box::new(TractEngine::new(1)),
            onnxruntime: None,
            missing: Some("ONNX Runtime was not found".into()),
            tolerance: None,
        };
        let engines = |target: &Target| {
            let engines = verifier.engines_of(target).map_err(|error| (error.exit_code(), error.to_string()));
            engines.map(|engines| engines.iter().map(|engine| engine.name()).collect::<Vec<_>>())
        };
        assert_eq!(engines(&COMPAT), Ok(vec!["tract"]));
        let optional = Target { engines: &[(EngineKind::OnnxRuntime, Presence::WhereFound)], ..COMPAT };
        assert_eq!(engines(&optional), Ok(vec![]));
        let required = Target { engines: &[(EngineKind::OnnxRuntime, Presence::Required)], ..COMPAT };
        let refused = "target compat cannot be verified: ONNX Runtime was not found".to_string();
        assert_eq!(engines(&required), Err((3, refused)));
    }
}

//! Runs what was written against its source, by the engines that its target names, with the interpreter as the truth.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::ir::Bindings;
use dmdx_graph::{Graph, interp};
use dmdx_runtime::engine::locate::locate;
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::manifest::Verification;
use dmdx_runtime::{Engine, Session, Tensor};

use super::choice::Engines;
use super::rounding::rounded;
use super::sample::sample_inputs;
use super::worst::{Worst, judged};
use crate::error::{ExportError, Result};
use crate::options::GraphOptions;
use crate::targets::{EngineKind, Presence, Target};

/// The engines of this machine, loaded once for any number of targets.
pub struct Verifier {
    tract: Box<dyn Engine>,
    onnxruntime: Option<Box<dyn Engine>>,
    missing: Option<String>,
    /// The engines that take part, among those of a target.
    pub engines: Engines,
    /// The largest relative error that is accepted. Otherwise it is the target's or, for networks whose results float32
    /// itself moves by more than that, as much as [`ROUNDING`] times what it moves them.
    pub tolerance: Option<f64>,
}

/// Engines round several times within an operation, and the constants of the file as well.
pub const ROUNDING: f64 = 8.0;

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
        let tract = Box::new(TractEngine::new(threads));
        Ok(Self { tract, onnxruntime, missing, engines: Engines::All, tolerance: None })
    }

    /// `tract 0.23.9`, and so on: those that are there and take part.
    pub fn engines(&self) -> Vec<String> {
        let all = [(EngineKind::Tract, Some(&self.tract)), (EngineKind::OnnxRuntime, self.onnxruntime.as_ref())];
        let own = all.into_iter().filter(|(kind, _)| self.engines.has(*kind));
        own.filter_map(|(_, engine)| engine).map(|engine| label(engine.as_ref())).collect()
    }

    /// Why ONNX Runtime does not take part, if it should and does not.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref().filter(|_| self.engines.has(EngineKind::OnnxRuntime))
    }

    /// The engines that the target asks for, that are wanted and that this machine has.
    fn engines_of(&self, target: &Target) -> Result<Vec<&dyn Engine>> {
        let mut engines = Vec::new();
        for (kind, presence) in target.engines.iter().filter(|(kind, _)| self.engines.has(*kind)) {
            let engine = match kind {
                EngineKind::Tract => Some(&self.tract),
                EngineKind::OnnxRuntime => self.onnxruntime.as_ref(),
            };
            // An engine that was asked for alone must be there.
            let is_required = *presence == Presence::Required || self.engines != Engines::All;
            match engine {
                Some(engine) => engines.push(engine.as_ref()),
                None if !is_required => {}
                None => {
                    let reason = self.missing.clone().unwrap_or_default();
                    return Err(ExportError::NoEngine { target: target.name, reason });
                }
            }
        }
        Ok(engines)
    }

    /// Runs a written model on one seeded input for each of `runs`, by every engine, against the interpreter on its source.
    /// Every engine reads the file once. `proceed` is called before each run and may stop it all. One entry per engine:
    /// the largest of its errors, which at least one engine keeps within the tolerance.
    ///
    /// # Errors
    /// [`ExportError::Verification`] when every engine is beyond the tolerance, [`ExportError::Engine`] when none can run
    /// the file, [`ExportError::NoEngine`] when one that the target cannot do without is not there.
    pub fn verify(
        &self,
        model: &WrittenModel<'_>,
        runs: &[Bindings],
        proceed: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Verification>> {
        let mut source = model.graph.clone();
        source.retain_marks(|_| false);
        source.remove_dead();
        let mut opened = self.open(model)?;
        for (seed, run) in runs.iter().enumerate() {
            proceed()?;
            let inputs = sample_inputs(&source, run, seed as u64)?;
            let expected = interp::run(&source, &inputs)?.outputs;
            opened.run(model, &inputs, &expected)?;
        }
        let mut tolerance = self.tolerance.unwrap_or(model.options.target.tolerance);
        if self.tolerance.is_none() && !opened.holds(tolerance) {
            tolerance = tolerance.max(ROUNDING * rounding(&source, runs, proceed)?);
        }
        opened.judged(model, tolerance)
    }

    /// As [`Verifier::verify`], on given inputs and results, both under the source's names.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn compare(
        &self,
        model: &WrittenModel<'_>,
        inputs: &BTreeMap<String, interp::Tensor>,
        expected: &BTreeMap<String, interp::Tensor>,
    ) -> Result<Vec<Verification>> {
        let mut opened = self.open(model)?;
        opened.run(model, inputs, expected)?;
        opened.judged(model, self.tolerance.unwrap_or(model.options.target.tolerance))
    }

    fn open(&self, model: &WrittenModel<'_>) -> Result<Opened> {
        let engines = self.engines_of(model.options.target)?;
        Ok(Opened(
            engines.into_iter().map(|engine| (label(engine), engine.load(model.path).map(|s| (s, Worst::default())))).collect(),
        ))
    }
}

/// The largest relative error that rounding every operation's result to float32 makes.
fn rounding(source: &Graph, runs: &[Bindings], proceed: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let rounded = rounded(source)?;
    let mut worst = Worst::default();
    for (seed, run) in runs.iter().enumerate() {
        proceed()?;
        let inputs = sample_inputs(source, run, seed as u64)?;
        let expected = interp::run(source, &inputs)?.outputs;
        for (name, found) in interp::run(&rounded, &inputs)?.outputs {
            worst.take(&name, expected.get(&name), found.shape(), &found.to_f64());
        }
    }
    Ok(worst.relative())
}

/// A model in an engine with its largest errors so far, or what keeps the engine from running it.
type Outcome = std::result::Result<(Box<dyn Session>, Worst), dmdx_runtime::Error>;

/// The engines that have read a model.
struct Opened(Vec<(String, Outcome)>);

impl Opened {
    fn run(
        &mut self,
        model: &WrittenModel<'_>,
        inputs: &BTreeMap<String, interp::Tensor>,
        expected: &BTreeMap<String, interp::Tensor>,
    ) -> Result<()> {
        let fail = |source| ExportError::Engine { component: model.component.into(), source: Box::new(source) };
        let given = inputs.iter().map(|(name, tensor)| Ok((model.options.names.input(name), to_engine(tensor)?)));
        let given: Vec<(String, Tensor)> = given.collect::<std::result::Result<_, _>>().map_err(fail)?;
        let given: Vec<(&str, &Tensor)> = given.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        for (_, outcome) in &mut self.0 {
            let Ok((session, worst)) = outcome else { continue };
            match session.run(&given) {
                Ok(computed) => {
                    for (name, expected) in expected {
                        worst.compare(&model.options.names.output(name), expected, &computed);
                    }
                }
                Err(error) => *outcome = Err(error),
            }
        }
        Ok(())
    }
}

impl Opened {
    /// Whether one engine is within a tolerance.
    fn holds(&self, tolerance: f64) -> bool {
        self.0.iter().any(|(_, outcome)| outcome.as_ref().is_ok_and(|(_, worst)| worst.relative() <= tolerance))
    }

    fn judged(self, model: &WrittenModel<'_>, tolerance: f64) -> Result<Vec<Verification>> {
        let outcomes = self.0.into_iter().map(|(engine, outcome)| (engine, outcome.map(|(_, worst)| worst))).collect();
        judged(model.component, outcomes, tolerance)
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

    use super::{EngineKind, Engines, Presence, Target, Verifier};
    use crate::targets::COMPAT;

    #[test]
    fn a_target_is_verified_by_its_own_engines() {
        let mut verifier = Verifier {
            tract: Box::new(TractEngine::new(1)),
            onnxruntime: None,
            missing: Some("ONNX Runtime was not found".into()),
            engines: Engines::All,
            tolerance: None,
        };
        let engines = |verifier: &Verifier, target: &Target| {
            let engines = verifier.engines_of(target).map_err(|error| (error.exit_code(), error.to_string()));
            engines.map(|engines| engines.iter().map(|engine| engine.name()).collect::<Vec<_>>())
        };
        assert_eq!(engines(&verifier, &COMPAT), Ok(vec!["tract"]));
        let optional = Target { engines: &[(EngineKind::OnnxRuntime, Presence::WhereFound)], ..COMPAT };
        assert_eq!(engines(&verifier, &optional), Ok(vec![]));
        let required = Target { engines: &[(EngineKind::OnnxRuntime, Presence::Required)], ..COMPAT };
        let refused = Err((3, "target compat cannot be verified: ONNX Runtime was not found".to_string()));
        assert_eq!(engines(&verifier, &required), refused);
        // One that is asked for by name is needed.
        verifier.engines = Engines::OnnxRuntime;
        assert_eq!(engines(&verifier, &COMPAT), refused);
        verifier.engines = Engines::Tract;
        assert_eq!((engines(&verifier, &COMPAT), verifier.missing()), (Ok(vec!["tract"]), None));
    }
}

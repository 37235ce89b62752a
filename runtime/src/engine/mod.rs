//! What runs ONNX files: one small trait, two engines.

pub mod guard;
#[cfg(feature = "engines")]
pub mod locate;
#[cfg(feature = "engines")]
pub mod ort;
#[cfg(feature = "engines")]
pub mod tract;

use std::path::Path;

use crate::{Error, Tensor};

/// The element type of a model's input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 64-bit integer.
    I64,
}

/// A named input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the file.
    pub name: String,
    /// Its element type.
    pub element: Element,
    /// Its sizes, `None` where the file leaves one open.
    pub dims: Vec<Option<usize>>,
}

/// Loads models.
pub trait Engine: Send + Sync {
    /// `tract` or `onnxruntime`.
    fn name(&self) -> &'static str;

    /// The version of the engine, for example `0.23.9`.
    fn version(&self) -> String;

    /// How many `run` calls may usefully go on at once. An engine that uses several threads within a call answers 1.
    fn concurrent_runs(&self) -> usize;

    /// Loads an ONNX file and its external data.
    ///
    /// # Errors
    /// [`Error::Model`] for a file that the engine refuses or breaks on, [`Error::Timeout`] for one that it hangs on.
    fn load(&self, path: &Path) -> Result<Box<dyn Session>, Error>;
}

/// A loaded model.
pub trait Session: Send + Sync {
    /// The inputs in the order of the file.
    fn inputs(&self) -> &[Port];

    /// The outputs in the order of the file.
    fn outputs(&self) -> &[Port];

    /// Runs the model on named tensors, one for every input in any order, and returns every output in the order of the file.
    ///
    /// # Errors
    /// [`Error::Shape`] for inputs that do not fit the model, [`Error::Model`] if the engine fails.
    fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error>;
}

/// Loads `path` and runs it once.
///
/// # Errors
/// Those of [`Engine::load`] and [`Session::run`].
pub fn run_model(engine: &dyn Engine, path: &Path, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
    engine.load(path)?.run(inputs)
}

/// Takes the output `name` out of what [`Session::run`] returned.
///
/// # Errors
/// [`Error::Shape`] if there is none.
pub fn take(outputs: &mut Vec<(String, Tensor)>, name: &str) -> Result<Tensor, Error> {
    match outputs.iter().position(|(output, _)| output == name) {
        Some(position) => Ok(outputs.swap_remove(position).1),
        None => {
            let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
            Err(Error::Shape(format!("the model has no output {name}, only {}", names.join(", "))))
        }
    }
}

/// Puts `inputs` in the order of `ports` and checks names, types and fixed sizes.
#[cfg(feature = "engines")]
pub(crate) fn arrange<'t>(ports: &[Port], inputs: &[(&str, &'t Tensor)]) -> Result<Vec<&'t Tensor>, Error> {
    if let Some((name, _)) = inputs.iter().find(|(name, _)| !ports.iter().any(|port| port.name == *name)) {
        let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
        return Err(Error::Shape(format!("the model has no input {name}, only {}", names.join(", "))));
    }
    ports
        .iter()
        .map(|port| {
            let (_, tensor) = inputs
                .iter()
                .find(|(name, _)| port.name == *name)
                .ok_or_else(|| Error::Shape(format!("the model's input {} was not given", port.name)))?;
            let element = match tensor.data() {
                crate::Data::F32(_) => Element::F32,
                crate::Data::I64(_) => Element::I64,
            };
            let fits = port.dims.len() == tensor.shape().len()
                && port.dims.iter().zip(tensor.shape()).all(|(want, have)| want.is_none_or(|want| want == *have));
            if element != port.element || !fits {
                return Err(Error::Shape(format!(
                    "the model's input {} wants {:?} {:?} but was given {element:?} {:?}",
                    port.name,
                    port.element,
                    port.dims,
                    tensor.shape()
                )));
            }
            Ok(*tensor)
        })
        .collect()
}

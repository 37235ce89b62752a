//! ONNX Runtime, loaded at run time from a library that [`super::locate`] has vetted. The only file that names `ort`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ort::environment::Environment;
use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, TensorElementType, TensorRef};

use super::guard::{Failure, catch_within};
use super::locate::Library;
use super::{Element, Engine, Port, Session, arrange};
use crate::error::one_line;
use crate::{Data, Error, Tensor};

const NAME: &str = "onnxruntime";

/// Loading longer than this is taken for a hang.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// ONNX Runtime allows one environment per process, and it cannot be made again after it was dropped.
static ENVIRONMENT: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The engine.
#[derive(Debug, Clone)]
pub struct OrtEngine {
    environment: Environment,
    version: String,
    threads: usize,
}

impl OrtEngine {
    /// Starts ONNX Runtime from a vetted library, with `threads` threads within each operation; 0 is taken as 1.
    /// Telemetry is off. The same library and number of threads give the same bits.
    ///
    /// # Errors
    /// [`Error::Library`] if the library cannot be loaded, is too old, or another one is in use by this process.
    pub fn new(library: &Library, threads: usize) -> Result<Self, Error> {
        let path = library.path().to_owned();
        let mut current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = match current.as_ref() {
            Some((loaded, environment)) if *loaded == path => environment.clone(),
            Some((loaded, _)) => {
                return Err(Error::Library(format!(
                    "ONNX Runtime from {} cannot be used because this process has already loaded {}",
                    path.display(),
                    loaded.display()
                )));
            }
            None => {
                let environment = start(&path)?;
                *current = Some((path, environment.clone()));
                environment
            }
        };
        Ok(Self { environment, version: library.version().to_owned(), threads: threads.max(1) })
    }
}

fn start(path: &Path) -> Result<Environment, Error> {
    let file = path.to_owned();
    let started = catch_within(LOAD_LIMIT, move || {
        let builder = ort::init_from(&file).map_err(|e| e.to_string())?;
        builder.with_name("dmdx").with_telemetry(false).build().map_err(|e| e.to_string())
    });
    let problem = match started {
        Ok(Ok(environment)) => return Ok(environment),
        Ok(Err(problem)) | Err(Failure::Panic(problem)) => one_line(&problem),
        Err(Failure::Timeout) => format!("it did not start within {} seconds", LOAD_LIMIT.as_secs()),
    };
    Err(Error::Library(format!("ONNX Runtime from {} cannot be used: {problem}; {}", path.display(), super::locate::ADVICE)))
}

impl Engine for OrtEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn concurrent_runs(&self) -> usize {
        1
    }

    fn load(&self, path: &Path) -> Result<Box<dyn Session>, Error> {
        let (engine, file) = (self.clone(), path.to_owned());
        let problem = match catch_within(LOAD_LIMIT, move || engine.build(&file)) {
            Ok(Ok(session)) => return Ok(Box::new(session)),
            Ok(Err(problem)) => one_line(&problem),
            Err(Failure::Panic(message)) => {
                format!("the file broke the engine ({message}); it is probably damaged, export it again")
            }
            Err(Failure::Timeout) => {
                return Err(Error::Timeout { engine: NAME, path: path.into(), seconds: LOAD_LIMIT.as_secs() });
            }
        };
        Err(Error::Model { engine: NAME, path: path.into(), problem })
    }
}

impl OrtEngine {
    fn build(&self, path: &Path) -> Result<OrtSession, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let session = ort::session::Session::builder(&self.environment)
            .map_err(|e| text(&e))?
            .with_intra_threads(self.threads)
            .map_err(|e| text(&e))?
            .with_inter_threads(1)
            .map_err(|e| text(&e))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|e| text(&e))?
            .with_deterministic_compute(true)
            .map_err(|e| text(&e))?
            .commit_from_file(path)
            .map_err(|e| text(&e))?;
        let inputs = session.inputs().iter().map(port).collect::<Result<_, _>>()?;
        let outputs = session.outputs().iter().map(port).collect::<Result<_, _>>()?;
        Ok(OrtSession { path: path.into(), session: Mutex::new(session), inputs, outputs })
    }
}

fn port(outlet: &Outlet) -> Result<Port, String> {
    let element = match outlet.dtype().tensor_type() {
        Some(TensorElementType::Float32) => Element::F32,
        Some(TensorElementType::Int64) => Element::I64,
        _ => return Err(format!("{} is {}, not a tensor of float32 or int64", outlet.name(), outlet.dtype())),
    };
    let shape = outlet.dtype().tensor_shape();
    let dims = shape.iter().flat_map(|shape| shape.iter()).map(|&size| usize::try_from(size).ok()).collect();
    Ok(Port { name: outlet.name().into(), element, dims })
}

struct OrtSession {
    path: PathBuf,
    session: Mutex<ort::session::Session>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Session for OrtSession {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        let inputs = arrange(&self.inputs, inputs)?;
        let fail = |e: ort::Error| Error::Model { engine: NAME, path: self.path.clone(), problem: one_line(&e.to_string()) };
        let mut values: Vec<(&str, SessionInputValue)> = Vec::with_capacity(inputs.len());
        for (port, tensor) in self.inputs.iter().zip(inputs) {
            let value: SessionInputValue = match tensor.data() {
                Data::F32(data) => TensorRef::from_array_view((tensor.shape(), data.as_slice())).map_err(fail)?.into(),
                Data::I64(data) => TensorRef::from_array_view((tensor.shape(), data.as_slice())).map_err(fail)?.into(),
            };
            values.push((&port.name, value));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let results = session.run(values).map_err(fail)?;
        self.outputs
            .iter()
            .map(|port| {
                let value = results
                    .get(&port.name)
                    .ok_or_else(|| Error::Shape(format!("the model did not return its output {}", port.name)))?;
                let sizes = |shape: &ort::value::Shape| shape.iter().map(|&size| size as usize).collect::<Vec<_>>();
                let tensor = match port.element {
                    Element::F32 => {
                        let (shape, data) = value.try_extract_tensor::<f32>().map_err(fail)?;
                        Tensor::f32(sizes(shape), data.to_vec())?
                    }
                    Element::I64 => {
                        let (shape, data) = value.try_extract_tensor::<i64>().map_err(fail)?;
                        Tensor::i64(sizes(shape), data.to_vec())?
                    }
                };
                Ok((port.name.clone(), tensor))
            })
            .collect()
    }
}

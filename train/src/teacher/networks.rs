//! What runs the networks of an imported pipeline: Burn, or the reference interpreter.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;
use dmdx_export::Imported;
use dmdx_graph::interp;
use dmdx_importer::Pipeline;
use dmdx_runtime::family::{Networks, Place, Settings};
use dmdx_runtime::tensor::Data;
use dmdx_runtime::{Error, FamilyError, Tensor, Tokenizer};
use serde_json::Value as Json;

use crate::error::TrainError;
use crate::module::{GraphModule, Value};

/// By Burn in f32 on one device; a network is put there when it is first needed.
pub struct OnBurn<'p> {
    imported: Imported<'p>,
    device: Device,
    modules: RefCell<BTreeMap<Place, GraphModule>>,
}

impl<'p> OnBurn<'p> {
    /// Nothing is loaded yet.
    pub fn new(pipeline: &'p Pipeline, device: Device) -> Self {
        Self { imported: Imported(pipeline), device, modules: RefCell::default() }
    }

    fn results(&self, network: Place, inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, TrainError> {
        let graph = self.imported.graph(network)?;
        let mut modules = self.modules.borrow_mut();
        let module = match modules.entry(network) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => free.insert(GraphModule::new(graph, &self.device, false)?),
        };
        let value = |&(name, tensor): &(_, &Tensor)| match tensor.data() {
            Data::F32(values) => Ok((name, Value::float(values.clone(), tensor.shape(), &self.device)?)),
            Data::I64(values) => Ok((name, Value::int(values.clone(), tensor.shape(), &self.device)?)),
        };
        let inputs = inputs.iter().map(value).collect::<Result<Vec<_>, TrainError>>()?;
        let results = module.forward(&inputs, wanted)?;
        let host = |name: &&str| {
            let value = results.get(*name).ok_or_else(|| Error::from(FamilyError::no_result(network, name)))?;
            Ok(Tensor::f32(value.shape(), value.to_f32()?)?)
        };
        wanted.iter().map(host).collect()
    }
}

impl Settings for OnBurn<'_> {
    fn index(&self) -> &Json {
        self.imported.index()
    }

    fn config(&self, folder: &str) -> &Json {
        self.imported.config(folder)
    }

    fn input_sizes(&self, network: Place, input: &str) -> Result<Vec<Option<usize>>, Error> {
        self.imported.input_sizes(network, input)
    }
}

impl Networks for OnBurn<'_> {
    fn has(&self, network: Place) -> bool {
        self.imported.graph(network).is_ok()
    }

    fn run(&self, network: Place, inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, Error> {
        self.results(network, inputs, wanted).map_err(|error| failed(network, error))
    }

    fn tokenizer(&self, folder: &str) -> Result<Arc<Tokenizer>, Error> {
        tokenizer(self.imported.0, folder)
    }
}

/// By the interpreter in f64, slowly.
pub struct Interpreted<'p>(Imported<'p>);

impl<'p> Interpreted<'p> {
    /// Of this pipeline.
    pub fn new(pipeline: &'p Pipeline) -> Self {
        Self(Imported(pipeline))
    }
}

impl Settings for Interpreted<'_> {
    fn index(&self) -> &Json {
        self.0.index()
    }

    fn config(&self, folder: &str) -> &Json {
        self.0.config(folder)
    }

    fn input_sizes(&self, network: Place, input: &str) -> Result<Vec<Option<usize>>, Error> {
        self.0.input_sizes(network, input)
    }
}

impl Networks for Interpreted<'_> {
    fn has(&self, network: Place) -> bool {
        self.0.graph(network).is_ok()
    }

    fn run(&self, network: Place, inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, Error> {
        let mut graph = self.0.graph(network)?.clone();
        graph.retain_marks(|path| wanted.contains(&path));
        let mut given = BTreeMap::new();
        for (name, tensor) in inputs {
            let tensor = match tensor.data() {
                Data::F32(values) => interp::Tensor::from_f32(values, tensor.shape()),
                Data::I64(values) => interp::Tensor::from_i64(values.clone(), tensor.shape()),
            };
            given.insert(name.to_string(), tensor.map_err(|error| failed(network, error))?);
        }
        let run = interp::run(&graph, &given).map_err(|error| failed(network, error))?;
        let result = |name: &&str| {
            let found = run.outputs.get(*name).or_else(|| run.marks.get(*name));
            let tensor = found.ok_or_else(|| FamilyError::no_result(network, name))?;
            Tensor::f32(tensor.shape(), tensor.to_f32())
        };
        wanted.iter().map(result).collect()
    }

    fn tokenizer(&self, folder: &str) -> Result<Arc<Tokenizer>, Error> {
        tokenizer(self.0.0, folder)
    }
}

/// The failure of a network.
fn failed((folder, part): Place, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Network { folder: folder.into(), part: part.into(), source: source.into() }
}

/// A tokenizer of the pipeline, of the class that the pipeline names.
fn tokenizer(pipeline: &Pipeline, folder: &str) -> Result<Arc<Tokenizer>, Error> {
    let found = pipeline.tokenizers.iter().find(|(name, _)| name == folder);
    let (_, path) = found.ok_or_else(|| FamilyError::NoTokenizer(folder.into()))?;
    Tokenizer::of_class(path, pipeline.model_index[folder][1].as_str().unwrap_or_default()).map(Arc::new)
}

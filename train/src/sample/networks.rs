//! What runs the networks of a pipeline: Burn, or the reference interpreter.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::Device;
use dmdx_graph::{Graph, interp};
use dmdx_importer::Pipeline;
use dmdx_runtime::Tensor;
use dmdx_runtime::tensor::Data;

use crate::error::TrainError;
use crate::module::{GraphModule, Value};

/// Runs a network by the names of its folder and part.
pub trait Networks {
    /// Results of a network, outputs or marks, in the order of `wanted`.
    ///
    /// # Errors
    /// When the pipeline has no such network, it does not take these inputs, or it has no such result.
    fn run(&self, network: (&str, &str), inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, TrainError>;

    /// As [`Networks::run`] for one result.
    ///
    /// # Errors
    /// As [`Networks::run`].
    fn one(&self, network: (&str, &str), inputs: &[(&str, &Tensor)], wanted: &str) -> Result<Tensor, TrainError> {
        self.run(network, inputs, &[wanted])?
            .pop()
            .ok_or_else(|| TrainError::Invalid(format!("{} of {} gave no {wanted}", network.1, network.0)))
    }

    /// The networks' graphs.
    fn pipeline(&self) -> &Pipeline;

    /// A network's graph.
    ///
    /// # Errors
    /// When the pipeline has no such network.
    fn graph(&self, (folder, part): (&str, &str)) -> Result<&Graph, TrainError> {
        let found = self.pipeline().components.get(folder).and_then(|component| component.parts.get(part));
        found.ok_or_else(|| {
            let known: Vec<&str> = self.pipeline().components.keys().map(String::as_str).collect();
            TrainError::Invalid(format!("the pipeline has no {part} in {folder}, only the folders {}", known.join(", ")))
        })
    }
}

/// By Burn in f32 on one device; a network is put there when it is first needed.
pub struct OnBurn<'p> {
    pipeline: &'p Pipeline,
    device: Device,
    modules: RefCell<BTreeMap<String, GraphModule>>,
}

impl<'p> OnBurn<'p> {
    /// Nothing is loaded yet.
    pub fn new(pipeline: &'p Pipeline, device: Device) -> Self {
        Self { pipeline, device, modules: RefCell::default() }
    }
}

impl Networks for OnBurn<'_> {
    fn pipeline(&self) -> &Pipeline {
        self.pipeline
    }

    fn run(&self, network: (&str, &str), inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, TrainError> {
        let graph = self.graph(network)?;
        let name = format!("{}/{}", network.0, network.1);
        let mut modules = self.modules.borrow_mut();
        let module = match modules.entry(name) {
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
            let value = results.get(*name);
            let value = value.ok_or_else(|| TrainError::Invalid(format!("{} of {} gave no {name}", network.1, network.0)))?;
            super::tensors::floats(&value.shape(), value.to_f32()?)
        };
        wanted.iter().map(host).collect()
    }
}

/// By the interpreter in f64, slowly.
pub struct Interpreted<'p>(pub &'p Pipeline);

impl Networks for Interpreted<'_> {
    fn pipeline(&self) -> &Pipeline {
        self.0
    }

    fn run(&self, network: (&str, &str), inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, TrainError> {
        let invalid = |reason: String| TrainError::Invalid(format!("{} of {}: {reason}", network.1, network.0));
        let mut graph = self.graph(network)?.clone();
        graph.retain_marks(|path| wanted.contains(&path));
        let mut given = BTreeMap::new();
        for (name, tensor) in inputs {
            let tensor = match tensor.data() {
                Data::F32(values) => interp::Tensor::from_f32(values, tensor.shape()),
                Data::I64(values) => interp::Tensor::from_i64(values.clone(), tensor.shape()),
            };
            given.insert(name.to_string(), tensor.map_err(|error| invalid(error.to_string()))?);
        }
        let run = interp::run(&graph, &given).map_err(|error| TrainError::component("running a network", error))?;
        let result = |name: &&str| {
            let found = run.outputs.get(*name).or_else(|| run.marks.get(*name));
            let tensor = found.ok_or_else(|| invalid(format!("there is no result {name}")))?;
            super::tensors::floats(tensor.shape(), tensor.to_f32())
        };
        wanted.iter().map(result).collect()
    }
}

//! A graph with its parameters as a Burn module.

use std::sync::Arc;
use std::time::Instant;

use burn::module::{Module, ModuleMapper, ModuleVisitor};
use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_graph::rewrite::{RewriteOptions, apply_neutral};
use indexmap::IndexMap;

use super::lora::{Layer, LowRank};
use super::ops;
use super::param::DynParam;
use super::plan::{Plan, Source};
use super::profile::Profile;
use super::value::Value;
use crate::error::{NetworkError, TrainError};

/// One role of a network: the shared plan of its graph and its own parameters, under the reference library's names. These
/// are the network's, or low-rank factors beside the network's, which are constants then and shared with another role.
///
/// Cloning shares the parameters' storage, which is copied when one of the clones is trained.
#[derive(Clone, Debug)]
pub struct GraphModule {
    plan: Arc<Plan>,
    params: Vec<Stored>,
    device: Device,
    profile: Option<Arc<Profile>>,
    label: Arc<str>,
}

/// A parameter: floats are tensors of Burn's, integers (position ids) are constants.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    Float(DynParam),
    Int(Value),
}

/// The same results from fewer operations; marks and parameters keep their names.
fn simplified(graph: &Graph) -> Result<Graph, TrainError> {
    let mut graph = graph.clone();
    apply_neutral(&mut graph, &RewriteOptions::default())
        .map_err(|error| TrainError::component("simplifying the network", error))?;
    Ok(graph)
}

impl GraphModule {
    /// Loads a graph's weights onto a device, in 32 bits whatever their storage type.
    ///
    /// # Errors
    /// When a weight is missing, or has a rank that cannot be stored.
    pub fn new(graph: &Graph, device: &Device, trainable: bool) -> Result<Self, TrainError> {
        let graph = &simplified(graph)?;
        let mut params = Vec::new();
        for (name, param) in graph.params() {
            let (network, parameter) = (|| graph.name().to_string(), || name.to_string());
            let no_weight = || NetworkError::NoWeight { network: network(), parameter: parameter() };
            let weight = param.weight.as_ref().ok_or_else(no_weight)?;
            params.push(if weight.dtype().is_float() {
                let stored = DynParam::new(weight.to_f32(), &param.shape, device, trainable);
                Stored::Float(stored.ok_or_else(|| NetworkError::Rank { network: network(), parameter: parameter() })?)
            } else {
                Stored::Int(Value::int(weight.to_i64(), &param.shape, device)?)
            });
        }
        let label = graph.name().into();
        Ok(Self { plan: Arc::new(Plan::new(graph)), params, device: device.clone(), profile: None, label })
    }

    /// Another graph over this module's parameters, found by name: the teacher's backbone cut off after the last tap.
    ///
    /// # Errors
    /// When a parameter of the graph is not in this module, or has another shape.
    pub fn share(&self, graph: &Graph) -> Result<Self, TrainError> {
        let plan = Plan::new(&simplified(graph)?);
        let plan = self.plan.factors.as_ref().map(|factors| plan.beside(factors.clone())).unwrap_or(plan);
        let mut params = Vec::new();
        for (name, shape) in &plan.params {
            let position = self.plan.params.iter().position(|(own, sizes)| own == name && sizes == shape);
            let absent = || NetworkError::NoParameter { network: self.name(), parameter: name.to_string(), shape: shape.clone() };
            params.push(position.and_then(|i| self.params.get(i)).ok_or_else(absent)?.clone());
        }
        Ok(Self { plan: Arc::new(plan), params, ..self.clone() })
    }

    /// A role of its own that starts from the same weights and is trained.
    pub fn trainable_copy(&self) -> Self {
        self.with_training(true)
    }

    /// As [`GraphModule::trainable_copy`], but the parameters called `constant` stay constants.
    pub fn trainable_copy_without(&self, constant: &[&str]) -> Self {
        let copy = self.with_training(true);
        copy.rebuilt(|name, param| if constant.contains(&name) { param.with_training(false) } else { param })
    }

    /// A role whose weights are these, in the same storage and as constants, and whose trained parameters are factors beside
    /// them; `start` gives their first values, of A and of B. No product of two factors is ever made.
    ///
    /// # Errors
    /// [`TrainError::Lora`] where the targets name no layers, or layers that cannot have factors; those of `start`.
    pub fn with_factors(
        &self,
        low_rank: &LowRank,
        mut start: impl FnMut(&Layer) -> Result<[Vec<f32>; 2], TrainError>,
    ) -> Result<Self, TrainError> {
        let factors = self.plan.factors(low_rank)?;
        let mut params = self.frozen().params;
        for layer in &factors.layers {
            for ((name, shape), values) in layer.parameters().zip(start(layer)?) {
                if values.len() != shape.iter().product::<usize>() {
                    let problem = format!("has the shape {shape:?}, which cannot hold {} values", values.len());
                    return Err(TrainError::parameter(self.plan.name(), &name, problem));
                }
                let rank = || NetworkError::Rank { network: self.name(), parameter: name.clone() };
                params.push(Stored::Float(DynParam::new(values, shape, &self.device, true).ok_or_else(rank)?));
            }
        }
        Ok(Self { plan: Arc::new(self.plan.beside(factors)), params, ..self.clone() })
    }

    /// The same weights, in the same storage, as constants.
    pub fn frozen(&self) -> Self {
        self.with_training(false)
    }

    fn with_training(&self, trainable: bool) -> Self {
        let first = self.plan.first_own;
        let params = self.params.iter().enumerate().map(|(position, stored)| match stored {
            Stored::Float(param) => Stored::Float(param.with_training(trainable && position >= first)),
            Stored::Int(value) => Stored::Int(value.clone()),
        });
        Self { params: params.collect(), ..self.clone() }
    }

    /// The compiled graph.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where the parameters live, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Records from now on how long this role runs forward and backward; copies record in the same place.
    pub fn set_profile(&mut self, profile: Option<Arc<Profile>>) {
        self.profile = profile;
    }

    /// Where its times are recorded.
    pub fn profile(&self) -> Option<&Arc<Profile>> {
        self.profile.as_ref()
    }

    /// What its times are recorded under: its role.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Self {
        self.label = label.into();
        self
    }

    /// Runs `work` and, where there is a profile, adds its time under the label and `what`.
    pub(super) fn timed<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        Profile::timed(self.profile.as_deref(), &format!("{} {what}", self.label), work)
    }

    /// Runs the graph as far as the outputs and marked modules called `wanted` need it, and returns those.
    ///
    /// A tape is recorded exactly where an input or a trained parameter is on one.
    ///
    /// # Errors
    /// When an input is missing, unknown or of a wrong shape, or a wanted name is not there.
    pub fn forward(&self, inputs: &[(&str, Value)], wanted: &[&str]) -> Result<IndexMap<String, Value>, TrainError> {
        self.timed("forward", || self.run(inputs, wanted))
    }

    fn run(&self, inputs: &[(&str, Value)], wanted: &[&str]) -> Result<IndexMap<String, Value>, TrainError> {
        let selection = self.plan.selection(wanted)?;
        for (name, _) in inputs {
            if !self.plan.inputs().any(|input| input == *name) {
                let known: Vec<&str> = self.plan.inputs().collect();
                let (input, known) = (name.to_string(), known.join(", "));
                return Err(NetworkError::NoInput { network: self.name(), input, known }.into());
            }
        }
        let given: Vec<Option<Value>> = self
            .plan
            .inputs
            .iter()
            .map(|(name, ty)| {
                let value = inputs.iter().find(|(given, _)| *given == &**name).map(|(_, value)| value)?;
                Some(if ty.dtype.is_float() { value.to_float() } else { value.to_int() })
            })
            .collect();
        let shapes: Vec<Option<Vec<usize>>> = given.iter().map(|value| value.as_ref().map(Value::shape)).collect();
        let bindings = self.plan.bind(&shapes)?;
        let mut results: Vec<Option<Value>> = vec![None; self.plan.steps.len()];
        for (index, last) in &selection.steps {
            let step = &self.plan.steps[*index];
            let operands =
                step.operands.iter().map(|source| self.read(*source, &given, &results)).collect::<Result<Vec<_>, _>>()?;
            for freed in last {
                results[*freed] = None;
            }
            let profile = self.profile.as_ref().filter(|profile| profile.has_operations());
            let clock = profile.map(|profile| (profile, self.operation(step.op.name(), &operands), Instant::now()));
            let result = ops::apply(&step.op, operands, &bindings, &self.device).map_err(|reason| {
                let (op, origin) = (step.op.name(), step.origin.to_string());
                TrainError::Operation { network: self.name(), op, origin, reason: Box::new(reason) }
            })?;
            if let Some((profile, name, started)) = clock {
                profile.record(&name, started.elapsed());
            }
            results[*index] = Some(result);
        }
        wanted
            .iter()
            .zip(&selection.wanted)
            .map(|(name, source)| Ok((name.to_string(), self.read(*source, &given, &results)?)))
            .collect()
    }

    /// [`GraphModule::forward`] for one wanted value.
    ///
    /// # Errors
    /// As [`GraphModule::forward`].
    pub fn output(&self, inputs: &[(&str, Value)], wanted: &str) -> Result<Value, TrainError> {
        let mut outputs = self.forward(inputs, &[wanted])?;
        let absent = || NetworkError::NoOutput { network: self.name(), output: wanted.to_string() };
        Ok(outputs.swap_remove(wanted).ok_or_else(absent)?)
    }

    fn read(&self, source: Source, inputs: &[Option<Value>], results: &[Option<Value>]) -> Result<Value, NetworkError> {
        match source {
            Source::Input(i) => inputs[i]
                .clone()
                .ok_or_else(|| NetworkError::InputNotGiven { network: self.name(), input: self.plan.inputs[i].0.to_string() }),
            Source::Param(i) => Ok(match &self.params[i] {
                Stored::Float(param) => Value::Float(param.tensor()),
                Stored::Int(value) => value.clone(),
            }),
            Source::Step(i) => results[i].clone().ok_or_else(|| NetworkError::Freed { network: self.name() }),
        }
    }

    /// What an operation is called in a profile.
    fn operation(&self, op: &str, operands: &[Value]) -> String {
        let shapes: Vec<String> = operands.iter().take(2).map(|value| format!("{:?}", value.shape())).collect();
        format!("{}: {op} {}", self.label, shapes.join(" "))
    }

    /// The graph's name, for messages.
    fn name(&self) -> String {
        self.plan.name().to_string()
    }

    /// The float parameters that are this role's own, by name: the factors where it has any, all otherwise.
    pub(super) fn own_params(&self) -> impl Iterator<Item = (&Arc<str>, &[usize], &DynParam)> {
        let own = self.plan.params.iter().zip(&self.params).skip(self.plan.first_own);
        own.filter_map(|((name, shape), stored)| match stored {
            Stored::Float(param) => Some((name, shape.as_slice(), param)),
            Stored::Int(_) => None,
        })
    }

    /// The float parameters by name, in the order of the names, factors last.
    pub(super) fn float_params(&self) -> impl Iterator<Item = (&Arc<str>, &[usize], &DynParam)> {
        self.plan.params.iter().zip(&self.params).filter_map(|((name, shape), stored)| match stored {
            Stored::Float(param) => Some((name, shape.as_slice(), param)),
            Stored::Int(_) => None,
        })
    }

    /// The float parameters by name, for changing.
    pub(super) fn float_params_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &[usize], &mut DynParam)> {
        self.plan.params.iter().zip(&mut self.params).filter_map(|((name, shape), stored)| match stored {
            Stored::Float(param) => Some((name, shape.as_slice(), param)),
            Stored::Int(_) => None,
        })
    }

    /// Whether any parameter is trained.
    pub fn is_trainable(&self) -> bool {
        self.float_params().any(|(_, _, param)| param.is_trainable())
    }

    fn rebuilt(self, mut f: impl FnMut(&str, DynParam) -> DynParam) -> Self {
        let Self { plan, params, device, profile, label } = self;
        let params = plan.params.iter().zip(params).map(|((name, _), stored)| match stored {
            Stored::Float(param) => Stored::Float(f(name, param)),
            Stored::Int(value) => Stored::Int(value),
        });
        let params = params.collect();
        Self { plan, params, device, profile, label }
    }
}

/// What `enter_module` calls the container of every path component.
const CONTAINER: &str = "Struct:GraphModule";

impl Module for GraphModule {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.float_params().fold(devices, |devices, (_, _, param)| param.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        self.rebuilt(|_, param| param.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.rebuilt(|_, param| param.to_device(device))
    }

    fn train(self) -> Self {
        self.rebuilt(|_, param| param.train())
    }

    fn valid(&self) -> Self {
        self.clone().rebuilt(|_, param| param.valid())
    }

    fn materialize(self) -> Self {
        self.rebuilt(|_, param| param.materialize())
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (name, _, param) in self.float_params() {
            name.split('.').for_each(|part| visitor.enter_module(part, CONTAINER));
            param.visit(visitor);
            name.rsplit('.').for_each(|part| visitor.exit_module(part, CONTAINER));
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.rebuilt(|name, param| {
            name.split('.').for_each(|part| mapper.enter_module(part, CONTAINER));
            let param = Module::map(param, mapper);
            name.rsplit('.').for_each(|part| mapper.exit_module(part, CONTAINER));
            param
        })
    }
}

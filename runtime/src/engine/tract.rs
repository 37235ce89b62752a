//! tract, the embedded engine: pure Rust, nothing to install. The only file that names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dmdx_graph::store::hub;
use tract_onnx::pb;
use tract_onnx::prelude::*;

use super::guard::{Failure, catch, catch_within};
use super::{Element, Engine, Port, Session, arrange};
use crate::error::one_line;
use crate::{Data, Error};

const NAME: &str = "tract";

/// The version of tract in this build; Cargo.toml pins it.
pub const VERSION: &str = "0.23.9";

/// Loading longer than this is taken for a hang.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// Optimised plans kept per model, one for each set of input shapes.
const PLANS: usize = 4;

type Runnable = Arc<TypedRunnableModel>;

/// The engine.
#[derive(Debug, Clone)]
pub struct TractEngine {
    threads: usize,
    limit: Duration,
}

impl TractEngine {
    /// An engine whose callers may run `threads` batches at once; 0 is taken as 1.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), limit: LOAD_LIMIT }
    }

    /// The same with another limit for loading one model.
    #[must_use]
    pub fn with_load_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.into()
    }

    fn concurrent_runs(&self) -> usize {
        self.threads
    }

    fn load(&self, path: &Path) -> Result<Box<dyn Session>, Error> {
        let file = path.to_owned();
        let loaded = catch_within(self.limit, move || load(&file));
        let (model, inputs, outputs) = flatten(loaded, path, self.limit)?;
        Ok(Box::new(TractSession {
            path: path.into(),
            model: Arc::new(model),
            inputs,
            outputs,
            plans: Mutex::default(),
            limit: self.limit,
        }))
    }
}

struct TractSession {
    path: PathBuf,
    model: Arc<InferenceModel>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    plans: Mutex<Vec<(Vec<Vec<usize>>, Runnable)>>,
    limit: Duration,
}

impl Session for TractSession {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: &[(&str, &crate::Tensor)]) -> Result<Vec<(String, crate::Tensor)>, Error> {
        let inputs = arrange(&self.inputs, inputs)?;
        let plan = self.plan(&inputs)?;
        let values = inputs.iter().map(|tensor| to_tract(tensor)).collect::<TractResult<TVec<TValue>>>();
        let values = values.map_err(|e| self.fail(format!("{e:#}")))?;
        let results = flatten(catch(|| plan.run(values).map_err(|e| format!("{e:#}"))), &self.path, self.limit)?;
        self.outputs
            .iter()
            .zip(results)
            .map(|(port, value)| {
                let tensor = from_tract(port, &value).map_err(|e| self.fail(format!("output {}: {e:#}", port.name)))??;
                Ok((port.name.clone(), tensor))
            })
            .collect()
    }
}

impl TractSession {
    /// The plan for these shapes. tract optimises much better with every size known.
    fn plan(&self, inputs: &[&crate::Tensor]) -> Result<Runnable, Error> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|tensor| tensor.shape().to_vec()).collect();
        // A plan is only ever pushed whole, so a poisoned list is still good.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plan)) = plans.iter().find(|(key, _)| *key == shapes) {
            return Ok(plan.clone());
        }
        let (model, ports, key) = (self.model.clone(), self.inputs.clone(), shapes.clone());
        let optimised = catch_within(self.limit, move || optimise(&model, &ports, &key));
        let plan = flatten(optimised, &self.path, self.limit)?;
        if plans.len() == PLANS {
            plans.remove(0);
        }
        plans.push((shapes, plan.clone()));
        Ok(plan)
    }

    fn fail(&self, problem: String) -> Error {
        Error::Model { engine: NAME, path: self.path.clone(), problem: one_line(&problem) }
    }
}

/// Joins the three ways to fail.
fn flatten<T>(result: Result<Result<T, String>, Failure>, path: &Path, limit: Duration) -> Result<T, Error> {
    let problem = match result {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(problem)) => one_line(&problem),
        Err(Failure::Panic(message)) => format!("the file broke the engine ({message}); it is probably damaged, export it again"),
        Err(Failure::Timeout) => return Err(Error::Timeout { engine: NAME, path: path.into(), seconds: limit.as_secs() }),
    };
    Err(Error::Model { engine: NAME, path: path.into(), problem })
}

type Loaded = (InferenceModel, Vec<Port>, Vec<Port>);

fn load(path: &Path) -> Result<Loaded, String> {
    let onnx = tract_onnx::onnx().with_ignore_value_info(true);
    let mut proto = onnx.proto_model_for_path(path).map_err(|e| format!("{e:#}"))?;
    let blobs = follow_blobs(&mut proto, path.parent().unwrap_or(Path::new(".")));
    let graph = proto.graph.as_ref().ok_or("the file holds no graph")?;
    let initialised = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let inputs = graph.input.iter().filter(|value| !initialised(&value.name)).map(port).collect::<Result<_, _>>()?;
    let outputs = graph.output.iter().map(port).collect::<Result<_, _>>()?;
    let folder = blobs.as_deref().or(path.parent()).and_then(Path::to_str);
    let parsed = onnx.parse(&proto, folder).map_err(|e| format!("{e:#}"))?;
    if let Some(name) = parsed.unresolved_inputs.first() {
        return Err(format!("nothing in the graph produces {name}"));
    }
    Ok((parsed.model, inputs, outputs))
}

/// Names the blobs of the hub's cache in the place of the links to them that lie beside a model, and gives the folder that
/// they are in: tract follows no link out of the model's folder.
fn follow_blobs(proto: &mut pb::ModelProto, folder: &Path) -> Option<PathBuf> {
    let mut blobs: BTreeMap<String, Option<PathBuf>> = BTreeMap::new();
    let weights = proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
    for entry in weights.flat_map(|tensor| &mut tensor.external_data).filter(|entry| entry.key == "location") {
        // Only plain names: what the manifest lists beside the model.
        let plain = Path::new(&entry.value).file_name().is_some_and(|name| name == entry.value.as_str());
        let blob = blobs.entry(entry.value.clone()).or_insert_with_key(|name| hub::blob(&folder.join(name)).filter(|_| plain));
        if let Some(name) = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
            entry.value = name.into();
        }
    }
    blobs.into_values().flatten().next().and_then(|blob| blob.parent().map(Path::to_path_buf))
}

fn port(value: &pb::ValueInfoProto) -> Result<Port, String> {
    let Some(pb::type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(format!("{} is no tensor", value.name));
    };
    let element = if tensor.elem_type == pb::tensor_proto::DataType::Float as i32 {
        Element::F32
    } else if tensor.elem_type == pb::tensor_proto::DataType::Int64 as i32 {
        Element::I64
    } else {
        return Err(format!("{} has element type {}, not float32 or int64", value.name, tensor.elem_type));
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| match dim.value {
        Some(pb::tensor_shape_proto::dimension::Value::DimValue(size)) => usize::try_from(size).ok(),
        _ => None,
    });
    Ok(Port { name: value.name.clone(), element, dims: dims.collect() })
}

fn optimise(model: &InferenceModel, ports: &[Port], shapes: &[Vec<usize>]) -> Result<Runnable, String> {
    let mut model = model.clone();
    for (index, (port, shape)) in ports.iter().zip(shapes).enumerate() {
        let element = match port.element {
            Element::F32 => f32::datum_type(),
            Element::I64 => i64::datum_type(),
        };
        model.set_input_fact(index, InferenceFact::dt_shape(element, shape)).map_err(|e| format!("{e:#}"))?;
    }
    model.into_optimized().and_then(|typed| typed.into_runnable()).map_err(|e| format!("{e:#}"))
}

fn to_tract(tensor: &crate::Tensor) -> TractResult<TValue> {
    let value = match tensor.data() {
        Data::F32(values) => Tensor::from_shape(tensor.shape(), values)?,
        Data::I64(values) => Tensor::from_shape(tensor.shape(), values)?,
    };
    Ok(value.into_tvalue())
}

fn from_tract(port: &Port, value: &Tensor) -> TractResult<Result<crate::Tensor, Error>> {
    let shape = value.shape().to_vec();
    Ok(match port.element {
        Element::F32 => {
            crate::Tensor::f32(shape, value.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect())
        }
        Element::I64 => {
            crate::Tensor::i64(shape, value.cast_to::<i64>()?.to_plain_array_view::<i64>()?.iter().copied().collect())
        }
    })
}

//! Files of reference inputs, outputs, activations and gradients, as the reference libraries computed them.
//!
//! A safetensors file with the keys `in.<argument>`, `out.<name>`, `act.<module path>` (`act.X:1` is element 1 of a
//! tuple), `grad.w`, `grad.in.<argument>` and `grad.param.<tensor>`: gradients of `sum(first output * grad.w)`. Its
//! metadata holds `args` and `outs`, JSON lists of names in call order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_graph::error::RunError;
use dmdx_graph::interp::Tensor;
use dmdx_graph::{Bindings, Graph, Type};
use indexmap::IndexMap;

use crate::error::{ImportError, ReferenceFault, Result};
use crate::hf::safetensors;
use crate::limits::Limits;
use crate::path::open_given;

/// Largest batch for which a single element is repeated: a graph may be a stranger's.
const MOST_REPEATS: usize = 1 << 20;

/// One tensor of a reference file.
#[derive(Clone, Debug, PartialEq)]
pub struct RefTensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub values: RefValues,
}

/// The elements of a [`RefTensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum RefValues {
    /// Any floating-point type, as f32.
    Float(Vec<f32>),
    /// Ids and masks.
    Int(Vec<i64>),
}

impl RefTensor {
    /// All elements as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            RefValues::Float(values) => values.iter().copied().map(f64::from).collect(),
            RefValues::Int(values) => values.iter().map(|value| *value as f64).collect(),
        }
    }

    /// All elements as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            RefValues::Float(values) => values.clone(),
            RefValues::Int(values) => values.iter().map(|value| *value as f32).collect(),
        }
    }

    /// The value for the interpreter.
    ///
    /// # Errors
    /// When it is larger than the interpreter allows.
    pub(crate) fn to_interp(&self) -> std::result::Result<Tensor, RunError> {
        match &self.values {
            RefValues::Float(values) => Tensor::from_f32(values, &self.shape),
            RefValues::Int(values) => Tensor::from_i64(values.clone(), &self.shape),
        }
    }

    /// Number of elements.
    fn len(&self) -> usize {
        match &self.values {
            RefValues::Float(values) => values.len(),
            RefValues::Int(values) => values.len(),
        }
    }

    /// This value in the type that a graph declares: integers become floats where floats are wanted (a timestep), and
    /// a single element is repeated for a whole batch.
    fn fitted(&self, ty: &Type, bindings: &Bindings) -> Self {
        let mut fitted = self.clone();
        if ty.dtype.is_float() {
            fitted.values = RefValues::Float(self.to_f32());
        }
        if self.len() == 1
            && ty.shape.rank() == 1
            && let Ok(shape) = ty.shape.eval(bindings)
            && let [count @ ..=MOST_REPEATS] = shape[..]
        {
            fitted.values = match &fitted.values {
                RefValues::Float(values) => RefValues::Float(values.repeat(count)),
                RefValues::Int(values) => RefValues::Int(values.repeat(count)),
            };
            fitted.shape = shape;
        }
        fitted
    }
}

/// Every tensor of a safetensors file, sorted by name, and the file's metadata.
///
/// # Errors
/// When the file cannot be read.
pub fn read_tensors(path: &Path) -> Result<(BTreeMap<String, RefTensor>, BTreeMap<String, String>)> {
    let file = safetensors::read(&open_given(path)?, &Limits::default())?;
    let tensor = |(name, weight): (&String, &dmdx_graph::Weight)| {
        let values = if weight.dtype().is_float() { RefValues::Float(weight.to_f32()) } else { RefValues::Int(weight.to_i64()) };
        (name.clone(), RefTensor { shape: weight.shape().to_vec(), values })
    };
    Ok((file.tensors.iter().map(tensor).collect(), file.metadata))
}

/// A whole reference file.
#[derive(Clone, Debug)]
pub struct ReferenceFile {
    /// The file.
    pub path: PathBuf,
    /// Arguments in call order.
    pub args: Vec<String>,
    /// `in.*` in call order.
    pub inputs: IndexMap<String, RefTensor>,
    /// `out.*`; the first one is what the gradients belong to.
    pub outputs: IndexMap<String, RefTensor>,
    /// `act.*` by module path, sorted.
    pub activations: IndexMap<String, RefTensor>,
    /// The gradients are those of `sum(first output * grad_w)`.
    pub grad_w: Option<RefTensor>,
    /// `grad.in.*` by argument.
    pub grad_inputs: IndexMap<String, RefTensor>,
    /// `grad.param.*` by tensor name.
    pub grad_params: IndexMap<String, RefTensor>,
    /// Everything in the file's metadata.
    pub metadata: BTreeMap<String, String>,
}

impl ReferenceFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, holds keys of another kind, or its metadata does not fit its tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let (tensors, metadata) = read_tensors(path)?;
        let fail = |fault| ImportError::Reference { path: path.into(), fault };
        let mut groups: BTreeMap<&str, IndexMap<String, RefTensor>> = BTreeMap::new();
        let mut grad_w = None;
        for (key, tensor) in tensors {
            if key == "grad.w" {
                grad_w = Some(tensor);
                continue;
            }
            let prefix = ["in.", "out.", "act.", "grad.in.", "grad.param."].into_iter().find(|prefix| key.starts_with(prefix));
            let prefix = prefix.ok_or_else(|| fail(ReferenceFault::Key { key: key.chars().take(80).collect() }))?;
            groups.entry(prefix).or_default().insert(key[prefix.len()..].into(), tensor);
        }
        let mut group = |prefix| groups.remove(prefix).unwrap_or_default();
        let (inputs, outputs) = (group("in."), group("out."));
        let names = |key: &'static str, tensors: &IndexMap<String, RefTensor>| -> Result<Vec<String>> {
            let Some(text) = metadata.get(key) else { return Ok(tensors.keys().cloned().collect()) };
            let names: Vec<String> = serde_json::from_str(text).map_err(|error| fail(ReferenceFault::Names { key, error }))?;
            let (mut listed, mut present) = (names.clone(), tensors.keys().cloned().collect::<Vec<_>>());
            listed.sort_unstable();
            present.sort_unstable();
            if listed != present {
                return Err(fail(ReferenceFault::Listed { key, listed, present }));
            }
            Ok(names)
        };
        let (args, outs) = (names("args", &inputs)?, names("outs", &outputs)?);
        if args.is_empty() || outs.is_empty() {
            return Err(fail(ReferenceFault::Incomplete));
        }
        Ok(Self {
            path: path.into(),
            inputs: ordered(inputs, &args),
            outputs: ordered(outputs, &outs),
            activations: group("act."),
            grad_w,
            grad_inputs: group("grad.in."),
            grad_params: group("grad.param."),
            args,
            metadata,
        })
    }

    /// The inputs in the types and shapes that a graph declares (an integer or scalar timestep is converted), in the
    /// graph's order.
    ///
    /// # Errors
    /// When the graph's inputs are not those of the file.
    pub fn inputs_for(&self, graph: &Graph) -> Result<IndexMap<String, RefTensor>> {
        let mut bindings = Bindings::new();
        for (name, id) in graph.inputs() {
            let ty = &graph.value(*id).ty;
            if let Some(tensor) =
                self.inputs.get(&**name).filter(|tensor| tensor.shape.len() == ty.shape.rank() && tensor.len() > 1)
            {
                ty.shape.bind(name, &tensor.shape, &mut bindings)?;
            }
        }
        let fitted = graph.inputs().iter().map(|(name, id)| {
            let tensor = self.inputs.get(&**name)?;
            Some((name.to_string(), tensor.fitted(&graph.value(*id).ty, &bindings)))
        });
        match fitted.collect::<Option<IndexMap<_, _>>>() {
            Some(inputs) if inputs.len() == self.inputs.len() => Ok(inputs),
            _ => {
                let wanted = graph.inputs().iter().map(|(name, _)| name.to_string()).collect();
                let fault = ReferenceFault::Arguments { found: self.args.clone(), wanted };
                Err(ImportError::Reference { path: self.path.clone(), fault })
            }
        }
    }

    /// Whether a graph takes exactly the arguments of this file.
    pub(crate) fn fits(&self, graph: &Graph) -> bool {
        let names = graph.inputs();
        names.len() == self.args.len() && names.iter().all(|(name, _)| self.inputs.contains_key(&**name))
    }
}

fn ordered(mut tensors: IndexMap<String, RefTensor>, names: &[String]) -> IndexMap<String, RefTensor> {
    names.iter().filter_map(|name| tensors.shift_remove_entry(name)).collect()
}

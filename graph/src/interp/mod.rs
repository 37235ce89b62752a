//! The reference interpreter: the definition of every [`Op`], in f64 on ndarray, with plain loops and matrix products.
//!
//! Speed is no goal, being obviously right is. Every engine that runs graphs is compared with this one.

mod attention;
mod conv;
mod convert;
mod dense;
mod lookup;
mod norm;
mod pointwise;
mod pool;
mod position;
mod shape;
mod tensor;

use std::collections::BTreeMap;

pub use tensor::Tensor;

use crate::error::{GraphError, InputError, Result, RunError, WeightError};
use crate::ir::{Bindings, Def, Dim, Graph, Op, Shape, ValueId};

/// What one run gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Every graph output by name.
    pub outputs: BTreeMap<String, Tensor>,
    /// Every marked value by path.
    pub marks: BTreeMap<String, Tensor>,
}

/// Evaluates what the outputs and marks need; a value is freed after its last use.
///
/// # Errors
/// When the graph does not verify, an input is missing or does not fit, a needed parameter has no weight, or an operation
/// meets values that it cannot take (an id outside its table, a slice outside its axis).
pub fn run(graph: &Graph, inputs: &BTreeMap<String, Tensor>) -> Result<Run> {
    graph.verify()?;
    let bindings = graph.bind(|name| inputs.get(name).map(|tensor| tensor.shape().to_vec()))?;
    let mut machine = Machine { graph, bindings, live: BTreeMap::new(), uses: BTreeMap::new() };
    for (name, id) in graph.inputs() {
        let (Some(tensor), ty) = (inputs.get(&**name), &graph.value(*id).ty) else { continue };
        if tensor.is_float() != ty.dtype.is_float() {
            let given = if tensor.is_float() { "floats" } else { "integers" };
            let reason = InputError::Elements { given, wanted: ty.to_string() };
            return Err(GraphError::Input { name: name.to_string(), reason });
        }
        machine.live.insert(*id, tensor.clone());
    }
    machine.run()
}

struct Machine<'a> {
    graph: &'a Graph,
    bindings: Bindings,
    live: BTreeMap<ValueId, Tensor>,
    /// Reads still to come, outputs and marks included.
    uses: BTreeMap<ValueId, usize>,
}

impl Machine<'_> {
    fn run(mut self) -> Result<Run> {
        let graph = self.graph;
        let order = graph.order();
        let wanted = graph.outputs().iter().map(|output| output.value).chain(graph.marks().values().copied());
        for id in order.iter().flat_map(|&id| graph.op(id).map(|(_, inputs)| inputs).unwrap_or_default()).copied().chain(wanted) {
            *self.uses.entry(id).or_insert(0) += 1;
        }
        for id in order {
            let Some((op, inputs)) = graph.op(id) else { continue };
            for &input in inputs {
                self.load(input)?;
            }
            let result = self.compute(id, op, inputs)?;
            self.live.insert(id, result);
            for &input in inputs {
                self.release(input);
            }
        }
        let mut run = Run::default();
        for output in graph.outputs() {
            run.outputs.insert(output.name.clone(), self.take(output.value)?);
        }
        for (path, &id) in graph.marks() {
            run.marks.insert(path.clone(), self.take(id)?);
        }
        Ok(run)
    }

    fn compute(&self, id: ValueId, op: &Op, inputs: &[ValueId]) -> Result<Tensor> {
        let value = self.graph.value(id);
        let fail = |reason| GraphError::Run { op: op.name(), origin: value.origin.to_string(), reason };
        let sizes = value.ty.shape.eval(&self.bindings)?;
        tensor::elements(&sizes).map_err(fail)?;
        let tensors: Vec<&Tensor> = inputs.iter().filter_map(|input| self.live.get(input)).collect();
        let result = evaluate(op, &tensors, &self.bindings).map_err(fail)?;
        if result.shape() != sizes {
            return Err(fail(RunError::Result { given: result.shape().to_vec(), wanted: sizes }));
        }
        Ok(result)
    }

    /// Makes sure that an input or parameter is in memory; results of operations are there already.
    fn load(&mut self, id: ValueId) -> Result<()> {
        if self.live.contains_key(&id) {
            return Ok(());
        }
        if let Def::Param(name) = &self.graph.value(id).def {
            let fail = |reason| GraphError::Weight { name: name.to_string(), reason };
            let weight = self.graph.params().get(name).and_then(|param| param.weight.as_ref());
            let weight = weight.ok_or_else(|| fail(WeightError::Absent))?;
            self.live.insert(id, Tensor::from_weight(weight).map_err(|error| fail(error.into()))?);
        }
        Ok(())
    }

    fn release(&mut self, id: ValueId) {
        if let Some(left) = self.uses.get_mut(&id) {
            *left -= 1;
            if *left == 0 {
                self.live.remove(&id);
            }
        }
    }

    fn take(&mut self, id: ValueId) -> Result<Tensor> {
        self.load(id)?;
        let is_last = self.uses.get(&id).is_some_and(|left| *left == 1);
        let tensor = if is_last { self.live.remove(&id) } else { self.live.get(&id).cloned() };
        self.release(id);
        tensor.ok_or_else(|| GraphError::Run {
            op: "output",
            origin: self.graph.value(id).origin.to_string(),
            reason: RunError::NotComputed,
        })
    }
}

/// Computes one operation; `bindings` gives the sizes of the symbols in its attributes.
///
/// # Errors
/// When the inputs do not fit.
pub fn evaluate(op: &Op, inputs: &[&Tensor], bindings: &Bindings) -> std::result::Result<Tensor, RunError> {
    let input = |i: usize| inputs.get(i).copied().ok_or(RunError::Missing { input: i });
    let float = |i: usize| input(i).and_then(Tensor::floats);
    let optional = |i: usize| inputs.get(i).map(|tensor| tensor.floats()).transpose();
    let integer = |i: usize| input(i).and_then(Tensor::integers);
    let sizes = |shape: &Shape| shape.eval(bindings);
    let size = |dim: &Dim| dim.eval(bindings);
    let result = match op {
        Op::Linear => dense::linear(float(0)?, float(1)?, optional(2)?)?,
        Op::MatMul { transpose_a, transpose_b } => dense::mat_mul(float(0)?, float(1)?, *transpose_a, *transpose_b)?,
        Op::Conv2d { stride, padding, dilation, groups } => {
            let [top, left, bottom, right] = *padding;
            let (before, after) = ([top, left], [bottom, right]);
            let geometry = conv::Geometry { stride: *stride, before, after, dilation: *dilation, groups: *groups };
            conv::conv2d(float(0)?, float(1)?, optional(2)?, geometry)?
        }
        Op::Conv3d { stride, padding, dilation, groups } => {
            let [front, top, left, back, bottom, right] = *padding;
            let (before, after) = ([front, top, left], [back, bottom, right]);
            let geometry = conv::Geometry { stride: *stride, before, after, dilation: *dilation, groups: *groups };
            conv::conv3d(float(0)?, float(1)?, optional(2)?, geometry)?
        }
        Op::MaxPool2d { kernel, stride, padding } => pool::max(float(0)?, *kernel, *stride, *padding)?,
        Op::AvgPool2d { kernel, stride, padding, count_padding } => {
            pool::average(float(0)?, *kernel, *stride, *padding, *count_padding)?
        }
        Op::Embedding => lookup::embedding(integer(0)?, float(1)?)?,
        Op::PoolToken { rule } => lookup::pool_token(float(0)?, integer(1)?, *rule)?,
        Op::TimestepEmbed { dim, flip_sin_to_cos, freq_shift, max_period } => {
            lookup::timestep_embed(float(0)?, *dim, *flip_sin_to_cos, *freq_shift, *max_period)?
        }
        Op::GroupNorm { groups, eps, silu } => norm::group_norm(float(0)?, float(1)?, float(2)?, *groups, *eps, *silu)?,
        Op::LayerNorm { eps } => norm::layer_norm(float(0)?, optional(1)?, optional(2)?, *eps)?,
        Op::RmsNorm { eps } => norm::rms_norm(float(0)?, optional(1)?, *eps)?,
        Op::Softmax { axis } => norm::softmax(float(0)?, *axis)?,
        Op::Sdpa { scale, causal } => attention::sdpa(float(0)?, float(1)?, float(2)?, optional(3)?, *scale, *causal)?,
        Op::RelPos2d { height, width } => attention::rel_pos2d(float(0)?, float(1)?, float(2)?, *height, *width)?,
        Op::Rope { interleaved } => position::rope(float(0)?, float(1)?, float(2)?, *interleaved)?,
        Op::BucketBias { max_distance, bidirectional, length } => {
            position::bucket_bias(float(0)?, *max_distance, *bidirectional, size(length)?)?
        }
        Op::CropTable { side, height, width } => position::crop_table(float(0)?, *side, size(height)?, size(width)?)?,
        Op::SincosTable3d { dim, frames, height, width, spatial_scale, temporal_scale } => {
            let grid = [size(frames)?, size(height)?, size(width)?];
            position::sincos_table(*dim, grid, *spatial_scale, *temporal_scale)?
        }
        Op::Relu => pointwise::map(float(0)?, |x| if x < 0.0 { 0.0 } else { x }),
        Op::Silu => pointwise::map(float(0)?, pointwise::silu),
        Op::Gelu { tanh: false } => pointwise::map(float(0)?, pointwise::gelu_erf),
        Op::Gelu { tanh: true } => pointwise::map(float(0)?, pointwise::gelu_tanh),
        Op::QuickGelu => pointwise::map(float(0)?, |x| x * pointwise::sigmoid(1.702 * x)),
        Op::Geglu => pointwise::geglu(float(0)?)?,
        Op::Sigmoid => pointwise::map(float(0)?, pointwise::sigmoid),
        Op::Tanh => pointwise::map(float(0)?, f64::tanh),
        Op::Neg => pointwise::map(float(0)?, |x| -x),
        Op::Exp => pointwise::map(float(0)?, f64::exp),
        Op::Sqrt => pointwise::map(float(0)?, f64::sqrt),
        Op::Sin => pointwise::map(float(0)?, f64::sin),
        Op::Cos => pointwise::map(float(0)?, f64::cos),
        Op::Clamp { min, max } => pointwise::map(float(0)?, |x| pointwise::clamp(x, *min, *max)),
        Op::Affine { mul, add } => pointwise::map(float(0)?, |x| x * mul + add),
        Op::Add => pointwise::zip(float(0)?, float(1)?, |a, b| a + b)?,
        Op::Sub => pointwise::zip(float(0)?, float(1)?, |a, b| a - b)?,
        Op::Mul => pointwise::zip(float(0)?, float(1)?, |a, b| a * b)?,
        Op::Div => pointwise::zip(float(0)?, float(1)?, |a, b| a / b)?,
        Op::WindowPartition { window } => shape::window_partition(float(0)?, *window)?,
        Op::WindowMerge { window, height, width } => shape::window_merge(float(0)?, *window, *height, *width)?,
        Op::UpNearest { factor } => shape::up_nearest(float(0)?, *factor)?,
        Op::Resize { mode, height, width } => pool::resize(float(0)?, size(height)?, size(width)?, *mode)?,
        Op::Pad { pads, value } => shape::pad(float(0)?, pads, *value)?,
        Op::Reduce { kind, axes, keep_dims } => norm::reduce(float(0)?, *kind, axes, *keep_dims)?,
        // Operations that only move elements take integers too.
        Op::Reshape { shape } => {
            let sizes = sizes(shape)?;
            return match input(0)? {
                Tensor::Float(x) => shape::reshape(x, &sizes).map(Tensor::Float),
                Tensor::Int(x) => shape::reshape(x, &sizes).map(Tensor::Int),
            };
        }
        Op::Permute { axes } => {
            return match input(0)? {
                Tensor::Float(x) => shape::permute(x, axes).map(Tensor::Float),
                Tensor::Int(x) => shape::permute(x, axes).map(Tensor::Int),
            };
        }
        Op::Slice { axis, start, length } => {
            let (start, length) = (size(start)?, size(length)?);
            return match input(0)? {
                Tensor::Float(x) => shape::slice(x, *axis, start, length).map(Tensor::Float),
                Tensor::Int(x) => shape::slice(x, *axis, start, length).map(Tensor::Int),
            };
        }
        Op::Expand { shape } => {
            let sizes = sizes(shape)?;
            return match input(0)? {
                Tensor::Float(x) => shape::expand(x, &sizes).map(Tensor::Float),
                Tensor::Int(x) => shape::expand(x, &sizes).map(Tensor::Int),
            };
        }
        Op::Concat { axis } => {
            return if input(0)?.is_float() {
                let parts: Vec<_> = inputs.iter().map(|x| x.floats()).collect::<std::result::Result<_, _>>()?;
                shape::concat(&parts, *axis).map(Tensor::Float)
            } else {
                let parts: Vec<_> = inputs.iter().map(|x| x.integers()).collect::<std::result::Result<_, _>>()?;
                shape::concat(&parts, *axis).map(Tensor::Int)
            };
        }
        Op::Cast { dtype } => return Ok(convert::cast(input(0)?, *dtype)),
    };
    Ok(Tensor::Float(result))
}

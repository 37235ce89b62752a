//! Between rank-erased tensors and the slices that kernels work on, and the recording of a kernel's gradient.

use std::fmt;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{
    Autodiff, AutodiffBackend, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, Flex, TensorMetadata,
};
use burn::tensor::{Bytes, DType, Shape};

/// A contiguous float32 tensor of the CPU backend; clones share the memory.
#[derive(Clone)]
pub(super) struct Value {
    tensor: FlexTensor,
}

impl Value {
    fn new(tensor: FlexTensor) -> Self {
        Self { tensor: tensor.to_contiguous() }
    }

    pub(super) fn from_vec(values: Vec<f32>, shape: &[usize]) -> Self {
        let layout = Layout::contiguous(Shape::from(shape.to_vec()));
        Self { tensor: FlexTensor::new(Bytes::from_elems(values), layout, DType::F32) }
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        self.tensor.layout().shape().as_slice().to_vec()
    }

    /// The elements in row-major order.
    pub(super) fn slice(&self) -> &[f32] {
        let start = self.tensor.layout().start_offset();
        &self.tensor.storage::<f32>()[start..start + self.tensor.layout().num_elements()]
    }

    /// The elements for writing, if no one else shares this memory.
    pub(super) fn slice_mut(&mut self) -> Option<&mut [f32]> {
        let (start, count) = (self.tensor.layout().start_offset(), self.tensor.layout().num_elements());
        self.tensor.try_storage_mut::<f32>().map(|all| &mut all[start..start + count])
    }

    /// The same value in contiguous memory that nobody else holds.
    pub(super) fn unshared(self) -> Self {
        let whole = self.tensor.bytes().len() == self.tensor.layout().num_elements() * size_of::<f32>();
        if self.tensor.is_unique() && self.tensor.is_contiguous() && whole {
            return self;
        }
        let shape = self.shape();
        let contiguous = Self::new(self.tensor);
        Self::from_vec(contiguous.slice().to_vec(), &shape)
    }

    pub(super) fn reshaped(self, shape: &[usize]) -> Self {
        Self { tensor: self.tensor.reshape(Shape::from(shape.to_vec())) }
    }

    /// The untracked tensor of the interpreter.
    pub(super) fn into_dispatch(self) -> DispatchTensor {
        DispatchTensor {
            kind: DispatchTensorKind::Flex(BackendTensor::Float(self.tensor)),
            autodiff: DispatchAutodiffContext::Disabled,
        }
    }
}

type Tracked = <Autodiff<Flex> as burn::backend::BackendTypes>::FloatTensorPrimitive;

enum Input {
    Absent,
    Plain(FlexTensor),
    Tracked(Tracked),
}

fn classify(tensor: &DispatchTensor) -> Option<Input> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    match &tensor.kind {
        DispatchTensorKind::Flex(BackendTensor::Float(plain)) => Some(Input::Plain(plain.clone())),
        DispatchTensorKind::Autodiff(inner) => match &**inner {
            DispatchTensorKind::Flex(BackendTensor::Autodiff(tracked)) => Some(Input::Tracked(tracked.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// Takes an untracked float32 tensor of the CPU backend, or gives the tensor back.
// The error is the argument handed back, no message.
#[allow(clippy::result_large_err)]
pub(super) fn into_value(tensor: DispatchTensor) -> Result<Value, DispatchTensor> {
    match tensor {
        DispatchTensor { kind: DispatchTensorKind::Flex(BackendTensor::Float(plain)), .. } if plain.dtype() == DType::F32 => {
            Ok(Value { tensor: plain })
        }
        other => Err(other),
    }
}

/// The operands of one kernel call.
pub(super) struct Operands<const N: usize> {
    /// The values, `None` for absent optional operands.
    pub(super) values: [Option<Value>; N],
    /// Which operands need a gradient.
    pub(super) tracked: [bool; N],
    graph: Option<([NodeGuard; N], DispatchAutodiffContext)>,
}

/// Takes the operands apart; `None` unless all are float32 tensors of the CPU backend.
pub(super) fn operands<const N: usize>(tensors: [Option<&DispatchTensor>; N]) -> Option<Operands<N>> {
    let mut inputs = Vec::with_capacity(N);
    let mut context = DispatchAutodiffContext::Disabled;
    for tensor in tensors {
        match tensor {
            Some(tensor) => {
                inputs.push(classify(tensor)?);
                context = context.merge(tensor.autodiff);
            }
            None => inputs.push(Input::Absent),
        }
    }
    let mut tracked = [false; N];
    let mut values = [const { None }; N];
    let mut guards = Vec::with_capacity(N);
    for (slot, input) in inputs.into_iter().enumerate() {
        let node = match input {
            Input::Tracked(tensor) => {
                tracked[slot] = tensor.is_tracked();
                values[slot] = Some(Value::new(tensor.primitive().clone()));
                tensor.node()
            }
            Input::Plain(tensor) => {
                values[slot] = Some(Value::new(tensor.clone()));
                if context == DispatchAutodiffContext::Disabled {
                    continue;
                }
                Autodiff::<Flex>::from_inner(tensor).node()
            }
            Input::Absent => {
                if context == DispatchAutodiffContext::Disabled {
                    continue;
                }
                Autodiff::<Flex>::from_inner(FlexTensor::empty(Shape::from(vec![0]), DType::F32)).node()
            }
        };
        guards.push(node);
    }
    let graph = <[NodeGuard; N]>::try_from(guards).ok().map(|guards| (guards, context));
    let graph = graph.filter(|(_, context)| *context != DispatchAutodiffContext::Disabled);
    Some(Operands { values, tracked, graph })
}

impl<const N: usize> Operands<N> {
    /// True if some operand needs a gradient.
    pub(super) fn any_tracked(&self) -> bool {
        self.tracked.contains(&true)
    }

    /// Wraps the result; `backward` turns its gradient into those of the operands and is called at most once.
    ///
    /// `backward` should return `None` for untracked operands, whose gradients nobody reads.
    pub(super) fn finish(
        self,
        output: Value,
        backward: impl FnOnce(Value) -> [Option<Value>; N] + Send + 'static,
    ) -> DispatchTensor {
        let Some((guards, autodiff)) = self.graph else {
            return output.into_dispatch();
        };
        let step = Recorded(backward);
        let tensor = match step.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((), output.tensor),
            OpsKind::UnTracked(prepared) => prepared.finish(output.tensor),
        };
        let inner = DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor));
        DispatchTensor { kind: DispatchTensorKind::Autodiff(Box::new(inner)), autodiff }
    }
}

/// A backward pass held in a closure.
struct Recorded<F>(F);

impl<F> fmt::Debug for Recorded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorded")
    }
}

impl<F, const N: usize> Backward<Flex, N> for Recorded<F>
where
    F: FnOnce(Value) -> [Option<Value>; N] + Send + 'static,
{
    type State = ();

    fn backward(self, ops: Ops<(), N>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = Value::new(gradients.consume::<Flex>(&ops.node));
        for (parent, gradient) in ops.parents.into_iter().zip((self.0)(gradient)) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient.tensor);
            }
        }
    }
}

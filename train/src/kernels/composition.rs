//! The same operations composed of Burn's own: for every backend but the CPU's, and as the reference in tests.

use burn::backend::ops::{ActivationOps, ConvOptions, FloatTensorOps, InterpolateMode, InterpolateOptions, ModuleOps};
use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::tensor::{Shape, Slice, TensorData};

use super::window::Window;

type B = Dispatch;

pub(super) fn dims(tensor: &DispatchTensor) -> Vec<usize> {
    tensor.shape().as_slice().to_vec()
}

fn reshape(tensor: DispatchTensor, shape: Vec<usize>) -> DispatchTensor {
    B::float_reshape(tensor, Shape::from(shape))
}

/// Shapes a vector so that it broadcasts along `axis` of a tensor of `rank` axes.
fn along(vector: &DispatchTensor, axis: usize, rank: usize) -> DispatchTensor {
    let mut shape = vec![1; rank];
    shape[axis] = vector.shape()[0];
    reshape(vector.clone(), shape)
}

pub(super) fn silu(x: DispatchTensor) -> DispatchTensor {
    B::float_mul(x.clone(), B::sigmoid(x))
}

pub(super) fn gelu(x: DispatchTensor) -> DispatchTensor {
    let half = B::float_mul_scalar(x.clone(), 0.5.into());
    let erf = B::float_erf(B::float_mul_scalar(x, std::f64::consts::FRAC_1_SQRT_2.into()));
    B::float_mul(half, B::float_add_scalar(erf, 1.0.into()))
}

pub(super) fn gelu_tanh(x: DispatchTensor) -> DispatchTensor {
    let square = B::float_mul(x.clone(), x.clone());
    let factor = B::float_add_scalar(B::float_mul_scalar(square, 0.044_715.into()), 1.0.into());
    let inner = B::float_mul_scalar(B::float_mul(x.clone(), factor), (2.0 / std::f64::consts::PI).sqrt().into());
    let outer = B::float_add_scalar(B::float_tanh(inner), 1.0.into());
    B::float_mul(B::float_mul_scalar(x, 0.5.into()), outer)
}

pub(super) fn quick_gelu(x: DispatchTensor) -> DispatchTensor {
    let gate = B::sigmoid(B::float_mul_scalar(x.clone(), 1.702.into()));
    B::float_mul(x, gate)
}

pub(super) fn geglu(x: DispatchTensor) -> DispatchTensor {
    let shape = dims(&x);
    let half = shape.last().copied().unwrap_or(0) / 2;
    let part = |from: usize| {
        let mut slices: Vec<Slice> = shape.iter().map(|n| Slice::from(0..*n)).collect();
        if let Some(last) = slices.last_mut() {
            *last = Slice::from(from..from + half);
        }
        B::float_slice(x.clone(), &slices)
    };
    B::float_mul(part(0), gelu(part(half)))
}

/// (x - mean) / sqrt(variance + eps) over `axis`.
fn standardise(x: DispatchTensor, axis: usize, eps: f64) -> DispatchTensor {
    let mean = B::float_mean_dim(x.clone(), axis);
    let centred = B::float_sub(x, mean);
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), axis);
    B::float_div(centred, B::float_sqrt(B::float_add_scalar(variance, eps.into())))
}

pub(super) fn group_norm(
    x: DispatchTensor,
    weight: &DispatchTensor,
    bias: &DispatchTensor,
    groups: usize,
    eps: f64,
    activate: bool,
) -> DispatchTensor {
    let shape = dims(&x);
    let size: usize = shape[1..].iter().product();
    let flat = reshape(x, vec![shape[0], groups, size / groups]);
    let y = reshape(standardise(flat, 2, eps), shape.clone());
    let y = B::float_mul(y, along(weight, 1, shape.len()));
    let y = B::float_add(y, along(bias, 1, shape.len()));
    if activate { silu(y) } else { y }
}

pub(super) fn layer_norm(
    x: DispatchTensor,
    weight: Option<&DispatchTensor>,
    bias: Option<&DispatchTensor>,
    eps: f64,
) -> DispatchTensor {
    let rank = dims(&x).len();
    let mut y = standardise(x, rank - 1, eps);
    if let Some(weight) = weight {
        y = B::float_mul(y, along(weight, rank - 1, rank));
    }
    if let Some(bias) = bias {
        y = B::float_add(y, along(bias, rank - 1, rank));
    }
    y
}

pub(super) fn rms_norm(x: DispatchTensor, weight: Option<&DispatchTensor>, eps: f64) -> DispatchTensor {
    let rank = dims(&x).len();
    let square = B::float_mean_dim(B::float_mul(x.clone(), x.clone()), rank - 1);
    let y = B::float_div(x, B::float_sqrt(B::float_add_scalar(square, eps.into())));
    match weight {
        Some(weight) => B::float_mul(y, along(weight, rank - 1, rank)),
        None => y,
    }
}

pub(super) fn softmax(x: DispatchTensor) -> DispatchTensor {
    let last = dims(&x).len() - 1;
    B::softmax(x, last)
}

pub(super) fn attention(
    q: DispatchTensor,
    k: DispatchTensor,
    v: DispatchTensor,
    bias: Option<DispatchTensor>,
    scale: f64,
    causal: bool,
) -> DispatchTensor {
    let (queries, keys) = (dims(&q)[2], dims(&k)[2]);
    let device = q.device();
    let mut scores = B::float_matmul(B::float_mul_scalar(q, scale.into()), B::float_swap_dims(k, 2, 3));
    if let Some(bias) = bias {
        scores = B::float_add(scores, bias);
    }
    if causal {
        let mask: Vec<f32> = (0..queries * keys).map(|i| if i % keys > i / keys { f32::NEG_INFINITY } else { 0.0 }).collect();
        let mask = B::float_from_data(TensorData::new(mask, [1, 1, queries, keys]), &device);
        scores = B::float_add(scores, mask);
    }
    B::float_matmul(softmax(scores), v)
}

pub(super) fn conv2d(x: DispatchTensor, weight: DispatchTensor, bias: Option<DispatchTensor>, window: &Window) -> DispatchTensor {
    let [top, left, bottom, right] = window.padding;
    let padding = [(top, bottom), (left, right)];
    let options = ConvOptions::new_with_padding(window.stride, padding, window.dilation, window.groups);
    B::conv2d(x, weight, bias, options)
}

pub(super) fn linear(x: DispatchTensor, weight: DispatchTensor, bias: Option<&DispatchTensor>) -> DispatchTensor {
    let mut shape = dims(&x);
    let inputs = shape.pop().unwrap_or(1);
    let rows: usize = shape.iter().product();
    let outputs = weight.shape()[0];
    let y = B::float_matmul(reshape(x, vec![rows, inputs]), B::float_swap_dims(weight, 0, 1));
    let y = match bias {
        Some(bias) => B::float_add(y, along(bias, 1, 2)),
        None => y,
    };
    shape.push(outputs);
    reshape(y, shape)
}

/// Gives both operands the rank of the larger, as NumPy does.
fn same_rank(a: DispatchTensor, b: DispatchTensor) -> (DispatchTensor, DispatchTensor) {
    let rank = dims(&a).len().max(dims(&b).len());
    let lift = |t: DispatchTensor| {
        let shape = dims(&t);
        if shape.len() == rank {
            return t;
        }
        let mut lifted = vec![1; rank - shape.len()];
        lifted.extend(shape);
        reshape(t, lifted)
    };
    (lift(a), lift(b))
}

pub(super) fn add(a: DispatchTensor, b: DispatchTensor) -> DispatchTensor {
    let (a, b) = same_rank(a, b);
    B::float_add(a, b)
}

pub(super) fn mul(a: DispatchTensor, b: DispatchTensor) -> DispatchTensor {
    let (a, b) = same_rank(a, b);
    B::float_mul(a, b)
}

pub(super) fn upsample_nearest2x(x: DispatchTensor) -> DispatchTensor {
    let shape = dims(&x);
    let size = [shape[2] * 2, shape[3] * 2];
    B::interpolate(x, size, InterpolateOptions::new(InterpolateMode::Nearest))
}

/// One step of [`super::adam_without_momentum`].
pub(super) fn adam(
    weight: DispatchTensor,
    gradient: DispatchTensor,
    average: DispatchTensor,
    step: &super::optimizer::Step,
) -> (DispatchTensor, DispatchTensor) {
    let square = B::float_mul_scalar(B::float_mul(gradient.clone(), gradient.clone()), (1.0 - step.beta2).into());
    let average = B::float_add(B::float_mul_scalar(average, step.beta2.into()), square);
    let root = B::float_div_scalar(B::float_sqrt(average.clone()), step.bias_correction.sqrt().into());
    let scaled = B::float_mul_scalar(gradient, (-step.rate).into());
    let change = B::float_div(scaled, B::float_add_scalar(root, step.epsilon.into()));
    (B::float_add(weight, change), average)
}

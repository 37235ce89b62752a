//! Elementwise operations on rank-erased tensors.

use burn::backend::DispatchTensor;

use super::simd::{Curve, Gelu, GeluTanh, QuickGelu, Silu};
use super::value::{Value, operands};
use super::{broadcast, composition, elementwise};

fn curve<C: Curve>(x: &DispatchTensor, otherwise: fn(DispatchTensor) -> DispatchTensor) -> DispatchTensor {
    let Some(mut call) = operands([Some(x)]) else {
        return otherwise(x.clone());
    };
    let Some(input) = call.values[0].take() else {
        return otherwise(x.clone());
    };
    let output = Value::from_vec(elementwise::map::<C>(input.slice()), &input.shape());
    call.finish(output, move |gradient| {
        let dx = elementwise::map_backward::<C>(input.slice(), gradient.slice());
        [Some(Value::from_vec(dx, &input.shape()))]
    })
}

/// x · sigmoid(x).
pub fn silu(x: &DispatchTensor) -> DispatchTensor {
    curve::<Silu>(x, composition::silu)
}

/// x · Φ(x): GELU with the error function, as PyTorch's `gelu(x)`.
pub fn gelu(x: &DispatchTensor) -> DispatchTensor {
    curve::<Gelu>(x, composition::gelu)
}

/// GELU in its tanh form, as PyTorch's `gelu(x, approximate="tanh")`.
pub fn gelu_tanh(x: &DispatchTensor) -> DispatchTensor {
    curve::<GeluTanh>(x, composition::gelu_tanh)
}

/// x · sigmoid(1.702 x), the activation of OpenAI's CLIP.
pub fn quick_gelu(x: &DispatchTensor) -> DispatchTensor {
    curve::<QuickGelu>(x, composition::quick_gelu)
}

/// `[.., 2n] -> [.., n]`: the first half times GELU (exact) of the second, as in Diffusers' `GEGLU`.
pub fn geglu(x: &DispatchTensor) -> DispatchTensor {
    let mut shape = composition::dims(x);
    let width = shape.pop().unwrap_or(0);
    let Some(mut call) = operands([Some(x)]).filter(|_| width.is_multiple_of(2)) else {
        return composition::geglu(x.clone());
    };
    let Some(input) = call.values[0].take() else {
        return composition::geglu(x.clone());
    };
    let half = width / 2;
    shape.push(half);
    let output = Value::from_vec(elementwise::geglu(input.slice(), half), &shape);
    call.finish(output, move |gradient| {
        let dx = elementwise::geglu_backward(input.slice(), gradient.slice(), half);
        [Some(Value::from_vec(dx, &input.shape()))]
    })
}

/// Softmax over the last axis.
pub fn softmax(x: &DispatchTensor) -> DispatchTensor {
    let shape = composition::dims(x);
    let width = shape.last().copied().unwrap_or(0);
    let Some(call) = operands([Some(x)]).filter(|_| !shape.is_empty()) else {
        return composition::softmax(x.clone());
    };
    let Some(input) = &call.values[0] else {
        return composition::softmax(x.clone());
    };
    let mut values = input.slice().to_vec();
    elementwise::softmax(&mut values, width);
    let output = Value::from_vec(values, &shape);
    let kept = output.clone();
    call.finish(output, move |gradient| {
        let dx = elementwise::softmax_backward(kept.slice(), gradient.slice(), width);
        [Some(Value::from_vec(dx, &shape))]
    })
}

/// `a + b` with NumPy's broadcasting.
pub fn add(a: &DispatchTensor, b: &DispatchTensor) -> DispatchTensor {
    binary(a, b, |a, b| a + b, composition::add, |gradient, _| gradient.clone())
}

/// `a · b` with NumPy's broadcasting.
pub fn mul(a: &DispatchTensor, b: &DispatchTensor) -> DispatchTensor {
    binary(
        a,
        b,
        |a, b| a * b,
        composition::mul,
        |gradient, other| {
            let shape = gradient.shape();
            let product = broadcast::plan(&shape, &other.shape()).map(|p| p.apply(gradient.slice(), other.slice(), |a, b| a * b));
            Value::from_vec(product.unwrap_or_default(), &shape)
        },
    )
}

/// `slope(gradient, other)` is the gradient of one operand before the sums that undo its broadcast.
fn binary(
    a: &DispatchTensor,
    b: &DispatchTensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
    otherwise: fn(DispatchTensor, DispatchTensor) -> DispatchTensor,
    slope: fn(&Value, &Value) -> Value,
) -> DispatchTensor {
    let plan = broadcast::plan(&composition::dims(a), &composition::dims(b));
    let (Some(plan), Some(call)) = (plan, operands([Some(a), Some(b)])) else {
        return otherwise(a.clone(), b.clone());
    };
    let [Some(left), Some(right)] = call.values.clone() else {
        return otherwise(a.clone(), b.clone());
    };
    let output = Value::from_vec(plan.apply(left.slice(), right.slice(), f), &plan.shape);
    let tracked = call.tracked;
    call.finish(output, move |gradient| {
        let back = |which: usize, own: &Value, other: &Value| {
            let full = slope(&gradient, other);
            if plan.whole(which) {
                return full.reshaped(&own.shape());
            }
            Value::from_vec(plan.reduce(full.slice(), which, own.slice().len()), &own.shape())
        };
        [tracked[0].then(|| back(0, &left, &right)), tracked[1].then(|| back(1, &right, &left))]
    })
}

/// Nearest-neighbour doubling: `[N, C, H, W] -> [N, C, 2H, 2W]`.
pub fn upsample_nearest2x(x: &DispatchTensor) -> DispatchTensor {
    let shape = composition::dims(x);
    let (Some(call), [batch, channels, height, width]) = (operands([Some(x)]), shape.as_slice()) else {
        return composition::upsample_nearest2x(x.clone());
    };
    let Some(input) = &call.values[0] else {
        return composition::upsample_nearest2x(x.clone());
    };
    let large = [*batch, *channels, height * 2, width * 2];
    let output = Value::from_vec(elementwise::upsample(input.slice(), *width), &large);
    let width = *width;
    call.finish(output, move |gradient| {
        let dx = elementwise::upsample_backward(gradient.slice(), width);
        [Some(Value::from_vec(dx, &shape))]
    })
}

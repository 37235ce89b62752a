//! Normalisations, attention and the optimiser step on rank-erased tensors.

use burn::backend::DispatchTensor;

use super::attention::{Bias, Heads};
use super::norm::Groups;
use super::optimizer::Step;
use super::value::{Value, into_value, operands};
use super::{attention as heads, broadcast, composition, norm, optimizer, rms};

/// Group normalisation of `[N, C, ..]` with `weight` and `bias` `[C]`, followed by SiLU where `silu` is set.
pub fn group_norm(
    x: &DispatchTensor,
    weight: &DispatchTensor,
    bias: &DispatchTensor,
    groups: usize,
    eps: f64,
    silu: bool,
) -> DispatchTensor {
    let shape = composition::dims(x);
    let otherwise = || composition::group_norm(x.clone(), weight, bias, groups, eps, silu);
    let channels = shape.get(1).copied().unwrap_or(0);
    let fits = channels > 0
        && groups > 0
        && channels % groups == 0
        && composition::dims(weight) == [channels]
        && composition::dims(bias) == [channels];
    let Some(call) = operands([Some(x), Some(weight), Some(bias)]).filter(|_| fits) else {
        return otherwise();
    };
    let [Some(input), Some(scale), Some(shift)] = call.values.clone() else {
        return otherwise();
    };
    let sizes = Groups { channels, size: shape[2..].iter().product(), groups, eps: eps as f32, activate: silu };
    let (values, statistics) = norm::group_norm(input.slice(), scale.slice(), shift.slice(), &sizes);
    let tracked = call.tracked;
    call.finish(Value::from_vec(values, &shape), move |gradient| {
        let (dx, dw, db) =
            norm::group_norm_backward(input.slice(), scale.slice(), shift.slice(), &statistics, gradient.slice(), &sizes);
        [
            tracked[0].then(|| Value::from_vec(dx, &shape)),
            tracked[1].then(|| Value::from_vec(dw, &[channels])),
            tracked[2].then(|| Value::from_vec(db, &[channels])),
        ]
    })
}

/// Layer normalisation over the last axis, of length C; `weight` and `bias` are `[C]`.
pub fn layer_norm(
    x: &DispatchTensor,
    weight: Option<&DispatchTensor>,
    bias: Option<&DispatchTensor>,
    eps: f64,
) -> DispatchTensor {
    let shape = composition::dims(x);
    let width = shape.last().copied().unwrap_or(0);
    let fits = width > 0 && [weight, bias].iter().flatten().all(|p| composition::dims(p) == [width]);
    let Some(call) = operands([Some(x), weight, bias]).filter(|_| fits) else {
        return composition::layer_norm(x.clone(), weight, bias, eps);
    };
    let [Some(input), scale, shift] = call.values.clone() else {
        return composition::layer_norm(x.clone(), weight, bias, eps);
    };
    let (scale_values, shift_values) = (scale.as_ref().map(Value::slice), shift.as_ref().map(Value::slice));
    let (values, statistics) = norm::layer_norm(input.slice(), width, scale_values, shift_values, eps as f32);
    let tracked = call.tracked;
    call.finish(Value::from_vec(values, &shape), move |gradient| {
        let parameters = tracked[1] || tracked[2];
        let scale = scale.as_ref().map(Value::slice);
        let (dx, dw, db) = norm::layer_norm_backward(input.slice(), width, scale, &statistics, gradient.slice(), parameters);
        [
            tracked[0].then(|| Value::from_vec(dx, &shape)),
            tracked[1].then(|| Value::from_vec(dw, &[width])),
            tracked[2].then(|| Value::from_vec(db, &[width])),
        ]
    })
}

/// `x / sqrt(mean(x²) + eps) weight` over the last axis, of length C; `weight` is `[C]`.
pub fn rms_norm(x: &DispatchTensor, weight: Option<&DispatchTensor>, eps: f64) -> DispatchTensor {
    let shape = composition::dims(x);
    let width = shape.last().copied().unwrap_or(0);
    let fits = width > 0 && weight.is_none_or(|p| composition::dims(p) == [width]);
    let Some(call) = operands([Some(x), weight]).filter(|_| fits) else {
        return composition::rms_norm(x.clone(), weight, eps);
    };
    let [Some(input), scale] = call.values.clone() else {
        return composition::rms_norm(x.clone(), weight, eps);
    };
    let (values, scales) = rms::rms_norm(input.slice(), width, scale.as_ref().map(Value::slice), eps as f32);
    let tracked = call.tracked;
    call.finish(Value::from_vec(values, &shape), move |gradient| {
        let scale = scale.as_ref().map(Value::slice);
        let (dx, dw) = rms::rms_norm_backward(input.slice(), width, scale, &scales, gradient.slice(), tracked[1]);
        [tracked[0].then(|| Value::from_vec(dx, &shape)), tracked[1].then(|| Value::from_vec(dw, &[width]))]
    })
}

/// softmax(`scale` q kᵀ + `bias`) v for `q` `[B, H, S, D]`, `k` `[B, H, T, D]` and `v` `[B, H, T, Dv]`.
///
/// `bias` broadcasts to `[B, H, S, T]` and may be tracked. With `causal`, query s sees keys 0 to s.
pub fn attention(
    q: &DispatchTensor,
    k: &DispatchTensor,
    v: &DispatchTensor,
    bias: Option<&DispatchTensor>,
    scale: f64,
    causal: bool,
) -> DispatchTensor {
    let otherwise = || composition::attention(q.clone(), k.clone(), v.clone(), bias.cloned(), scale, causal);
    let (qs, ks, vs) = (composition::dims(q), composition::dims(k), composition::dims(v));
    let ([b, h, s, d], [kb, kh, t, kd], [vb, vh, vt, width]) = (qs.as_slice(), ks.as_slice(), vs.as_slice()) else {
        return otherwise();
    };
    let sizes = Heads { heads: b * h, queries: *s, keys: *t, width: *d, value_width: *width, scale: scale as f32, causal };
    let area = [*b, *h, *s, *t];
    let plan = bias.map(|bias| broadcast::plan(&area, &composition::dims(bias)));
    let broadcast_fits = plan.as_ref().is_none_or(|plan| plan.as_ref().is_some_and(|p| p.shape == area));
    let fits = broadcast_fits && [kb, vb] == [b, b] && [kh, vh] == [h, h] && vt == t && kd == d && *t > 0;
    let Some(call) = operands([Some(q), Some(k), Some(v), bias]).filter(|_| fits) else {
        return otherwise();
    };
    let [Some(query), Some(key), Some(value), offset] = call.values.clone() else {
        return otherwise();
    };
    let added =
        offset.as_ref().map(|offset| Bias { data: offset.slice(), strides: broadcast_strides(&offset.shape()), per_batch: *h });
    let keep = call.any_tracked();
    let (values, kept) = heads::forward(query.slice(), key.slice(), value.slice(), added.as_ref(), &sizes, keep);
    let tracked = call.tracked;
    let offset_shape = offset.map(|offset| offset.shape());
    call.finish(Value::from_vec(values, &[*b, *h, *s, *width]), move |gradient| {
        let found = heads::backward(query.slice(), key.slice(), value.slice(), &kept, gradient.slice(), &sizes, tracked[3]);
        let db = offset_shape.filter(|_| tracked[3]).zip(plan.flatten()).map(|(shape, plan)| {
            if plan.whole(1) {
                return Value::from_vec(found.scores, &shape);
            }
            Value::from_vec(plan.reduce(&found.scores, 1, shape.iter().product()), &shape)
        });
        [
            tracked[0].then(|| Value::from_vec(found.q, &qs)),
            tracked[1].then(|| Value::from_vec(found.k, &ks)),
            tracked[2].then(|| Value::from_vec(found.v, &vs)),
            db,
        ]
    })
}

/// Strides of a tensor seen as four axes, 0 along axes of length 1.
fn broadcast_strides(shape: &[usize]) -> [usize; 4] {
    let mut strides = [0; 4];
    let mut step = 1;
    for (slot, size) in strides.iter_mut().rev().zip(shape.iter().rev()) {
        *slot = if *size == 1 { 0 } else { step };
        step *= size;
    }
    strides
}

/// One AdamW step with betas (0, `beta2`) and no weight decay; returns the new weight and the new average.
///
/// `average = beta2 average + (1 - beta2) g²`, then `weight -= rate g / (sqrt(average) / sqrt(bias_correction) +
/// epsilon)`, where `bias_correction` is `1 - beta2^t` at step t (from 1). The order of operations is PyTorch's. The
/// tensors must not be tracked; memory that nobody shares is reused.
#[allow(clippy::too_many_arguments)]
pub fn adam_without_momentum(
    weight: DispatchTensor,
    gradient: &DispatchTensor,
    average: DispatchTensor,
    rate: f64,
    beta2: f64,
    epsilon: f64,
    bias_correction: f64,
) -> (DispatchTensor, DispatchTensor) {
    let step = Step { rate, beta2, epsilon, bias_correction };
    let shape = composition::dims(&weight);
    let fits = composition::dims(gradient) == shape && composition::dims(&average) == shape;
    let slope = operands([Some(gradient)]).filter(|_| fits).and_then(|call| call.values.into_iter().next().flatten());
    let Some(slope) = slope else {
        return composition::adam(weight, gradient.clone(), average, &step);
    };
    match (into_value(weight), into_value(average)) {
        (Ok(weight), Ok(average)) => {
            let (mut weight, mut average) = (weight.unshared(), average.unshared());
            if let (Some(w), Some(v)) = (weight.slice_mut(), average.slice_mut()) {
                optimizer::adam(w, slope.slice(), v, &step);
            }
            (weight.into_dispatch(), average.into_dispatch())
        }
        (weight, average) => {
            let weight = weight.map_or_else(|t| t, Value::into_dispatch);
            let average = average.map_or_else(|t| t, Value::into_dispatch);
            composition::adam(weight, gradient.clone(), average, &step)
        }
    }
}

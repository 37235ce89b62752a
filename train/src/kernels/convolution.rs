//! Convolutions and linear maps on rank-erased tensors.

use burn::backend::{DispatchTensor, TensorMetadata};

use super::matrix::{Matrix, column_sums, product};
use super::norm::channel_sums;
use super::value::{Value, operands};
use super::window::Window;
use super::{composition, conv, conv_weight};

/// 2-D convolution (cross-correlation, as everywhere).
///
/// `x` is `[N, I, H, W]`, `weight` `[O, I / groups, kh, kw]`, `bias` `[O]`; `padding` is top, left, bottom, right.
pub fn conv2d(
    x: &DispatchTensor,
    weight: &DispatchTensor,
    bias: Option<&DispatchTensor>,
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
) -> DispatchTensor {
    let (input, kernel) = (composition::dims(x), composition::dims(weight));
    let size = |shape: &[usize], axis: usize| shape.get(axis).copied().unwrap_or(0);
    let window = Window {
        batch: size(&input, 0),
        inputs: size(&input, 1),
        height: size(&input, 2),
        width: size(&input, 3),
        outputs: size(&kernel, 0),
        kernel: [size(&kernel, 2), size(&kernel, 3)],
        stride,
        padding,
        dilation,
        groups,
    };
    let fits = input.len() == 4 && kernel.len() == 4 && bias.is_none_or(|b| composition::dims(b) == [window.outputs]);
    let known = if fits { window.checked_output(kernel[1]) } else { None };
    let (Some(output), Some(call)) = (known, operands([Some(x), Some(weight), bias])) else {
        return composition::conv2d(x.clone(), weight.clone(), bias.cloned(), &window);
    };
    let [Some(input), Some(kernel), offset] = call.values.clone() else {
        return composition::conv2d(x.clone(), weight.clone(), bias.cloned(), &window);
    };
    let shape = [window.batch, window.outputs, output[0], output[1]];
    let mut values = vec![0.0; shape.iter().product()];
    conv::forward(input.slice(), kernel.slice(), offset.as_ref().map(Value::slice), &window, output, &mut values);
    let tracked = call.tracked;
    // The input is needed for the weights' gradient only, the weights for the input's only.
    let input = tracked[1].then_some(input);
    let saved = tracked[0].then(|| kernel.clone());
    let weight_shape = kernel.shape();
    call.finish(Value::from_vec(values, &shape), move |gradient| {
        let dx = saved.map(|kernel| {
            let mut dx = vec![0.0; window.batch * window.inputs * window.height * window.width];
            conv::backward_input(gradient.slice(), kernel.slice(), &window, output, &mut dx);
            Value::from_vec(dx, &[window.batch, window.inputs, window.height, window.width])
        });
        let dw = input.map(|input| {
            let dw = conv_weight::backward_weight(input.slice(), gradient.slice(), &window, output);
            Value::from_vec(dw, &weight_shape)
        });
        let db = tracked[2].then(|| {
            let sums = channel_sums(gradient.slice(), window.outputs, output[0] * output[1]);
            Value::from_vec(sums, &[window.outputs])
        });
        [dx, dw, db]
    })
}

/// `x weightᵀ + bias` over the last axis: `x` is `[.., I]`, `weight` `[O, I]` (PyTorch's layout), `bias` `[O]`.
pub fn linear(x: &DispatchTensor, weight: &DispatchTensor, bias: Option<&DispatchTensor>) -> DispatchTensor {
    let kernel = composition::dims(weight);
    let mut shape = composition::dims(x);
    let fits = kernel.len() == 2 && shape.last() == kernel.last() && bias.is_none_or(|b| b.shape().as_slice() == &kernel[..1]);
    let Some(call) = operands([Some(x), Some(weight), bias]).filter(|_| fits) else {
        return composition::linear(x.clone(), weight.clone(), bias);
    };
    let [Some(input), Some(matrix), offset] = call.values.clone() else {
        return composition::linear(x.clone(), weight.clone(), bias);
    };
    let [outputs, inputs] = [kernel[0], kernel[1]];
    let input_shape = shape.clone();
    shape.pop();
    let rows: usize = shape.iter().product();
    shape.push(outputs);
    let mut values = vec![0.0; rows * outputs];
    let weights = Matrix::new(matrix.slice(), outputs, inputs);
    product(Matrix::new(input.slice(), rows, inputs), weights.transposed(), offset.as_ref().map(Value::slice), &mut values);
    let tracked = call.tracked;
    let input = tracked[1].then_some(input);
    let saved = tracked[0].then(|| matrix.clone());
    call.finish(Value::from_vec(values, &shape), move |gradient| {
        let dy = Matrix::new(gradient.slice(), rows, outputs);
        let dx = saved.map(|matrix| {
            let mut dx = vec![0.0; rows * inputs];
            product(dy, Matrix::new(matrix.slice(), outputs, inputs), None, &mut dx);
            Value::from_vec(dx, &input_shape)
        });
        let dw = input.map(|input| {
            let mut dw = vec![0.0; outputs * inputs];
            product(dy.transposed(), Matrix::new(input.slice(), rows, inputs), None, &mut dw);
            Value::from_vec(dw, &[outputs, inputs])
        });
        let db = tracked[2].then(|| Value::from_vec(column_sums(gradient.slice(), outputs), &[outputs]));
        [dx, dw, db]
    })
}

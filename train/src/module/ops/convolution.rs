//! Convolution and nearest-neighbour enlargement.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::Shape;

use super::{Operands, Result, dims};
use crate::error::OperationError;
use crate::kernels;
use crate::module::Value;

pub(super) fn conv2d(
    of: &mut Operands,
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
) -> Result<Value> {
    let (x, weight) = (of.next()?, of.next()?);
    let ([_, _, height, width], [_, _, kernel_height, kernel_width]) = (dims::<4>(&x)?, dims::<4>(&weight)?);
    let [top, left, bottom, right] = padding;
    let reach = [dilation[0] * (kernel_height - 1) + 1, dilation[1] * (kernel_width - 1) + 1];
    if height + top + bottom < reach[0] || width + left + right < reach[1] {
        return Err(OperationError::Kernel { reach, height, width });
    }
    let bias = of.optional();
    Ok(Value::Float(kernels::conv2d(x.tensor(), weight.tensor(), bias.as_ref(), stride, padding, dilation, groups)))
}

pub(super) fn up_nearest(x: &Value, factor: usize) -> Result<Value> {
    let [n, c, h, w] = dims::<4>(x)?;
    if factor == 2 {
        return Ok(Value::Float(kernels::upsample_nearest2x(x.tensor())));
    }
    let apart = x.reshape(&[n, c, h, 1, w, 1])?;
    let repeated = Dispatch::float_expand(apart.into_tensor(), Shape::from(vec![n, c, h, factor, w, factor]));
    Ok(Value::Float(repeated).reshape(&[n, c, h * factor, w * factor])?)
}

//! Pooling over windows of pictures.

use super::builder::Builder;
use super::site::Site;
use crate::error::Result;
use crate::onnx::attribute;
use crate::onnx::proto::AttributeProto;

pub(crate) fn max(
    b: &mut Builder<'_>,
    site: Site<'_>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    Ok(b.node("MaxPool", &[&x], window(kernel, stride, padding)))
}

pub(crate) fn average(
    b: &mut Builder<'_>,
    site: Site<'_>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    count_padding: bool,
) -> Result<String> {
    let x = b.value(site.inputs[0])?;
    let mut attributes = vec![attribute::int("count_include_pad", i64::from(count_padding))];
    attributes.extend(window(kernel, stride, padding));
    Ok(b.node("AveragePool", &[&x], attributes))
}

fn window(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 4]) -> Vec<AttributeProto> {
    vec![attribute::ints("kernel_shape", kernel), attribute::ints("pads", padding), attribute::ints("strides", stride)]
}

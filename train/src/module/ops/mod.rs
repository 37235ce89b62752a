//! What every operation of the IR does with Burn's tensors. Float arithmetic is 32-bit throughout.

mod arithmetic;
mod convolution;
mod embedding;
mod layout;
mod linear;
mod pool;
mod position;
mod reduction;
mod relative;
mod volume;
mod window;

use burn::backend::Dispatch;
use burn::backend::ops::{ActivationOps, FloatTensorOps};
use burn::tensor::{Device, FloatDType};
use dmdx_graph::{Bindings, DType, Op};

use super::value::Value;
use crate::error::OperationError;
use crate::kernels;

type Result<T> = std::result::Result<T, OperationError>;

/// The operands of one operation, taken in order.
pub(super) struct Operands(std::vec::IntoIter<Value>);

impl Operands {
    /// The next operand.
    fn next(&mut self) -> Result<Value> {
        self.0.next().ok_or(OperationError::Missing)
    }

    /// The next operand's tensor.
    fn tensor(&mut self) -> Result<burn::backend::DispatchTensor> {
        self.next().map(Value::into_tensor)
    }

    /// The next operand's tensor, if there is one.
    fn optional(&mut self) -> Option<burn::backend::DispatchTensor> {
        self.0.next().map(Value::into_tensor)
    }

    fn rest(self) -> Vec<Value> {
        self.0.collect()
    }
}

/// Runs one operation; what has no operands is made on `device`.
///
/// # Errors
/// Where shapes, known only now, do not fit.
pub(super) fn apply(op: &Op, operands: Vec<Value>, bindings: &Bindings, device: &Device) -> Result<Value> {
    let mut of = Operands(operands.into_iter());
    match op {
        Op::Linear => linear::linear(&mut of),
        Op::MatMul { transpose_a, transpose_b } => linear::mat_mul(&mut of, *transpose_a, *transpose_b),
        Op::Sdpa { scale, causal } => linear::attention(&mut of, *scale, *causal),
        Op::Conv2d { stride, padding, dilation, groups } => convolution::conv2d(&mut of, *stride, *padding, *dilation, *groups),
        Op::Conv3d { stride, padding, dilation, groups } => {
            let geometry = volume::Geometry { stride: *stride, padding: *padding, dilation: *dilation, groups: *groups };
            volume::conv3d(&mut of, &geometry)
        }
        Op::MaxPool2d { kernel, stride, padding } => {
            pool::max(&of.next()?, pool::Window { kernel: *kernel, stride: *stride, padding: *padding })
        }
        Op::AvgPool2d { kernel, stride, padding, count_padding } => {
            let window = pool::Window { kernel: *kernel, stride: *stride, padding: *padding };
            pool::average(&of.next()?, window, *count_padding)
        }
        Op::Resize { mode, height, width } => pool::resize(&of.next()?, height.eval(bindings)?, width.eval(bindings)?, *mode),
        Op::UpNearest { factor } => convolution::up_nearest(&of.next()?, *factor),
        Op::GroupNorm { groups, eps, silu } => {
            let (x, weight, bias) = (of.tensor()?, of.tensor()?, of.tensor()?);
            Ok(Value::Float(kernels::group_norm(&x, &weight, &bias, *groups, *eps, *silu)))
        }
        Op::LayerNorm { eps } => {
            let (x, weight, bias) = (of.tensor()?, of.optional(), of.optional());
            Ok(Value::Float(kernels::layer_norm(&x, weight.as_ref(), bias.as_ref(), *eps)))
        }
        Op::RmsNorm { eps } => {
            let (x, weight) = (of.tensor()?, of.optional());
            Ok(Value::Float(kernels::rms_norm(&x, weight.as_ref(), *eps)))
        }
        Op::Rope { interleaved } => position::rope(&of.next()?, &of.next()?, &of.next()?, *interleaved),
        Op::BucketBias { max_distance, bidirectional, length } => {
            position::bucket_bias(&of.next()?, *max_distance, *bidirectional, length.eval(bindings)?)
        }
        Op::CropTable { side, height, width } => {
            position::crop_table(&of.next()?, *side, height.eval(bindings)?, width.eval(bindings)?)
        }
        Op::SincosTable3d { dim, frames, height, width, spatial_scale, temporal_scale } => {
            let grid = [frames.eval(bindings)?, height.eval(bindings)?, width.eval(bindings)?];
            position::sincos_table(*dim, grid, *spatial_scale, *temporal_scale, device)
        }
        Op::Embedding => embedding::embedding(&of.next()?, &of.next()?),
        Op::TimestepEmbed { dim, flip_sin_to_cos, freq_shift, max_period } => {
            embedding::timestep(&of.next()?, *dim, *flip_sin_to_cos, *freq_shift, *max_period)
        }
        Op::PoolToken { rule } => embedding::pool_token(&of.next()?, &of.next()?, *rule),
        Op::RelPos2d { height, width } => relative::relative(&of.next()?, &of.next()?, &of.next()?, *height, *width),
        Op::Relu => Ok(of.next()?.relu()),
        Op::Silu => Ok(Value::Float(kernels::silu(&of.tensor()?))),
        Op::Gelu { tanh: false } => Ok(Value::Float(kernels::gelu(&of.tensor()?))),
        Op::Gelu { tanh: true } => Ok(Value::Float(kernels::gelu_tanh(&of.tensor()?))),
        Op::QuickGelu => Ok(Value::Float(kernels::quick_gelu(&of.tensor()?))),
        Op::Geglu => Ok(Value::Float(kernels::geglu(&of.tensor()?))),
        Op::Sigmoid => Ok(arithmetic::unary(of.next()?, <Dispatch as ActivationOps<Dispatch>>::sigmoid)),
        Op::Tanh => Ok(arithmetic::unary(of.next()?, Dispatch::float_tanh)),
        Op::Neg => Ok(arithmetic::unary(of.next()?, Dispatch::float_neg)),
        Op::Exp => Ok(arithmetic::unary(of.next()?, Dispatch::float_exp)),
        Op::Sqrt => Ok(arithmetic::unary(of.next()?, Dispatch::float_sqrt)),
        Op::Sin => Ok(arithmetic::unary(of.next()?, Dispatch::float_sin)),
        Op::Cos => Ok(arithmetic::unary(of.next()?, Dispatch::float_cos)),
        Op::Clamp { min, max } => Ok(arithmetic::clamp(of.tensor()?, *min, *max)),
        Op::Affine { mul, add } => Ok(arithmetic::affine(&of.next()?, *mul, *add)),
        Op::Softmax { axis } => Ok(reduction::softmax(of.tensor()?, *axis)),
        Op::Add => arithmetic::binary(of.next()?, of.next()?, |a, b| kernels::add(&a, &b)),
        Op::Sub => arithmetic::binary(of.next()?, of.next()?, Dispatch::float_sub),
        Op::Mul => arithmetic::binary(of.next()?, of.next()?, |a, b| kernels::mul(&a, &b)),
        Op::Div => arithmetic::binary(of.next()?, of.next()?, Dispatch::float_div),
        Op::Reshape { shape } => Ok(of.next()?.reshape(&shape.eval(bindings)?)?),
        Op::Permute { axes } => Ok(of.next()?.permuted(axes)),
        Op::Concat { axis } => Ok(Value::join(&of.rest(), *axis)?),
        Op::Slice { axis, start, length } => {
            let (start, length) = (start.eval(bindings)?, length.eval(bindings)?);
            layout::slice(&of.next()?, *axis, start, length)
        }
        Op::Pad { pads, value } => Ok(layout::pad(of.next()?, pads, *value)),
        Op::Expand { shape } => layout::expand(of.next()?, &shape.eval(bindings)?),
        Op::WindowPartition { window } => window::partition(&of.next()?, *window),
        Op::WindowMerge { window, height, width } => window::merge(&of.next()?, *window, *height, *width),
        Op::Reduce { kind, axes, keep_dims } => reduction::reduce(of.next()?, *kind, axes, *keep_dims),
        Op::Cast { dtype } => {
            let x = of.next()?;
            Ok(match dtype {
                DType::F32 | DType::F64 => x.to_float(),
                DType::F16 => x.rounded(FloatDType::F16),
                DType::BF16 => x.rounded(FloatDType::BF16),
                DType::I64 | DType::I32 | DType::U8 | DType::Bool => x.to_int(),
            })
        }
    }
}

/// The sizes of a value of rank `N`.
fn dims<const N: usize>(value: &Value) -> Result<[usize; N]> {
    let shape = value.shape();
    <[usize; N]>::try_from(shape).map_err(|shape| OperationError::Rank { shape, rank: N })
}

//! Rank-erased tensors: what flows through a graph, and the little algebra that the methods are written in.

use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::{AutodiffBackend, Dispatch, DispatchAutodiffContext, DispatchTensor, TensorMetadata};
use burn::tensor::{Device, FloatDType, Int, IntDType, Shape, Slice, Tensor, TensorData};

use crate::error::TensorError;

/// A tensor of any rank: 32-bit floats, possibly on an autodiff tape, or 64-bit integers. Cloning shares the storage.
#[derive(Clone, Debug)]
pub enum Value {
    /// Floats.
    Float(DispatchTensor),
    /// Integers: token ids.
    Int(DispatchTensor),
}

impl Value {
    /// Floats from the host, row-major.
    ///
    /// # Errors
    /// When the number of values is not that of the shape.
    pub fn float(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self, TensorError> {
        check_count(values.len(), shape)?;
        let device = device.clone().without_autodiff();
        let data = TensorData::new(values, shape.to_vec());
        Ok(Value::Float(Dispatch::float_from_data(data, device.as_dispatch())))
    }

    /// Integers from the host, row-major.
    ///
    /// # Errors
    /// When the number of values is not that of the shape.
    pub fn int(values: Vec<i64>, shape: &[usize], device: &Device) -> Result<Self, TensorError> {
        check_count(values.len(), shape)?;
        let device = device.clone().without_autodiff();
        let data = TensorData::new(values, shape.to_vec());
        Ok(Value::Int(Dispatch::int_from_data(data, device.as_dispatch())))
    }

    /// Zeros of this value's shape and device, off the tape.
    pub fn zeros_like(&self) -> Self {
        self.detached().scale(0.0)
    }

    /// The tensor of either kind.
    pub fn tensor(&self) -> &DispatchTensor {
        match self {
            Value::Float(tensor) | Value::Int(tensor) => tensor,
        }
    }

    /// The tensor of either kind.
    pub fn into_tensor(self) -> DispatchTensor {
        match self {
            Value::Float(tensor) | Value::Int(tensor) => tensor,
        }
    }

    /// Sizes of all dimensions.
    pub fn shape(&self) -> Vec<usize> {
        self.tensor().shape().as_slice().to_vec()
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// All elements, row-major; integers are converted.
    ///
    /// # Errors
    /// When the device does not deliver them.
    pub fn to_f32(&self) -> Result<Vec<f32>, TensorError> {
        let flat = Shape::from(vec![self.elements()]);
        let data = match self.detached() {
            Value::Float(tensor) => {
                Tensor::<1>::from_dispatch(Dispatch::float_reshape(tensor, flat)).into_data().convert::<f32>()
            }
            Value::Int(tensor) => {
                Tensor::<1, Int>::from_dispatch(Dispatch::int_reshape(tensor, flat)).into_data().convert::<f32>()
            }
        };
        data.try_to_vec::<f32>().map_err(|error| TensorError::Unread { reason: format!("{error:?}") })
    }

    /// All elements of integers, row-major.
    ///
    /// # Errors
    /// When these are floats, or the device does not deliver them.
    pub fn to_i64(&self) -> Result<Vec<i64>, TensorError> {
        let Value::Int(tensor) = self else { return Err(TensorError::NotIntegers) };
        let flat = Dispatch::int_reshape(tensor.clone(), Shape::from(vec![self.elements()]));
        let data = Tensor::<1, Int>::from_dispatch(flat).into_data().convert::<i64>();
        data.try_to_vec::<i64>().map_err(|error| TensorError::Unread { reason: format!("{error:?}") })
    }

    /// The only element.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub fn scalar(&self) -> Result<f64, TensorError> {
        match self.to_f32()?.as_slice() {
            [value] => Ok(f64::from(*value)),
            values => Err(TensorError::NotOne { count: values.len() }),
        }
    }

    /// The same numbers off the tape.
    pub fn detached(&self) -> Self {
        match self {
            Value::Float(tensor) if tensor.autodiff != DispatchAutodiffContext::Disabled => {
                Value::Float(Dispatch::inner(tensor.clone()))
            }
            other => other.clone(),
        }
    }

    /// The same numbers as a new leaf whose gradient can be asked for.
    pub fn leaf(&self) -> Self {
        match self.detached() {
            Value::Float(tensor) => Value::Float(Dispatch::float_set_require_grad(Dispatch::from_inner(tensor), true)),
            other => other,
        }
    }

    /// `self + other`, NumPy broadcasting.
    pub fn plus(&self, other: &Value) -> Self {
        self.with(other, Dispatch::float_add)
    }

    /// `self - other`, NumPy broadcasting.
    pub fn minus(&self, other: &Value) -> Self {
        self.with(other, Dispatch::float_sub)
    }

    /// `self * other`, NumPy broadcasting.
    pub fn times(&self, other: &Value) -> Self {
        self.with(other, Dispatch::float_mul)
    }

    /// `self * factor`.
    pub fn scale(&self, factor: f64) -> Self {
        self.map(|tensor| Dispatch::float_mul_scalar(tensor, (factor as f32).into()))
    }

    /// `self + offset`.
    pub fn shift(&self, offset: f64) -> Self {
        self.map(|tensor| Dispatch::float_add_scalar(tensor, (offset as f32).into()))
    }

    /// `max(self, 0)`.
    pub fn relu(&self) -> Self {
        self.map(<Dispatch as burn::backend::ops::ActivationOps<Dispatch>>::relu)
    }

    /// `ln(1 + exp(self))`, without overflow.
    pub fn softplus(&self) -> Self {
        let above = self.relu();
        // -|x|, so that the exponential is at most one.
        let tail = self.minus(&above.scale(2.0)).map(|tensor| Dispatch::float_log1p(Dispatch::float_exp(tensor)));
        above.plus(&tail)
    }

    /// `self²`.
    pub fn square(&self) -> Self {
        self.times(self)
    }

    /// The square root of every element.
    pub fn sqrt(&self) -> Self {
        self.map(Dispatch::float_sqrt)
    }

    /// The mean of all elements, shape `[1]`.
    pub fn mean(&self) -> Self {
        // From 2^22 values on Burn adds up in an order that depends on which thread is free; along one axis it does not.
        let axes = if self.elements() < 1 << 22 { 0 } else { self.shape().len() };
        self.map(|tensor| Dispatch::float_mean((0..axes).rev().fold(tensor, Dispatch::float_mean_dim)))
    }

    /// The sum of all elements, shape `[1]`.
    pub fn sum(&self) -> Self {
        self.map(Dispatch::float_sum)
    }

    /// Multiplies sample `b` (the first axis) by `factors[b]`, each rounded to f32 once.
    ///
    /// # Errors
    /// When there are not as many factors as samples.
    pub fn per_sample(&self, factors: &[f64]) -> Result<Self, TensorError> {
        let mut shape = vec![1; self.shape().len()];
        if self.shape().first() != Some(&factors.len()) {
            return Err(TensorError::Factors { factors: factors.len(), shape: self.shape() });
        }
        shape[0] = factors.len();
        let factors = Value::float(factors.iter().map(|&f| f as f32).collect(), &shape, &self.device())?;
        Ok(self.times(&factors))
    }

    /// `count` samples from sample `start`.
    pub fn rows(&self, start: usize, count: usize) -> Self {
        self.slice(0, start, count)
    }

    /// `count` elements from `start` along `axis`.
    pub fn slice(&self, axis: usize, start: usize, count: usize) -> Self {
        let mut slices: Vec<Slice> = self.shape().iter().map(|&size| Slice::from(0..size)).collect();
        if let Some(slot) = slices.get_mut(axis) {
            *slot = Slice::from(start..start + count);
        }
        match self {
            Value::Float(tensor) => Value::Float(Dispatch::float_slice(tensor.clone(), &slices)),
            Value::Int(tensor) => Value::Int(Dispatch::int_slice(tensor.clone(), &slices)),
        }
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn pick(&self, indices: &[usize]) -> Result<Self, TensorError> {
        let samples = self.shape().first().copied().unwrap_or(0);
        if let Some(&sample) = indices.iter().find(|&&index| index >= samples) {
            return Err(TensorError::NoSample { sample, samples });
        }
        let rows = Value::int(indices.iter().map(|&i| i as i64).collect(), &[indices.len()], &self.device())?.into_tensor();
        Ok(match self {
            Value::Float(tensor) => Value::Float(Dispatch::float_select(tensor.clone(), 0, rows)),
            Value::Int(tensor) => Value::Int(Dispatch::int_select(tensor.clone(), 0, rows)),
        })
    }

    /// Joins along `axis`; all of one kind.
    ///
    /// # Errors
    /// When there is none, kinds are mixed, or shapes differ beside the axis.
    pub fn join(values: &[Value], axis: usize) -> Result<Self, TensorError> {
        let tensors: Vec<DispatchTensor> = values.iter().map(|value| value.tensor().clone()).collect();
        let floats = values.iter().filter(|value| matches!(value, Value::Float(_))).count();
        let beside = |value: &Value| {
            let mut shape = value.shape();
            shape.get_mut(axis).map(|size| *size = 0).map(|()| shape)
        };
        if values.iter().any(|value| beside(value).is_none() || beside(value) != beside(&values[0])) {
            let shapes: Vec<Vec<usize>> = values.iter().map(Value::shape).collect();
            return Err(TensorError::Join { shapes, axis });
        }
        match (floats, values.len()) {
            (_, 0) => Err(TensorError::NothingToJoin),
            (_, 1) => Ok(values[0].clone()),
            (floats, count) if floats == count => Ok(Value::Float(Dispatch::float_cat(tensors, axis))),
            (0, _) => Ok(Value::Int(Dispatch::int_cat(tensors, axis))),
            _ => Err(TensorError::MixedKinds),
        }
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self, TensorError> {
        check_count(self.elements(), shape)?;
        let shape = Shape::from(shape.to_vec());
        Ok(match self {
            Value::Float(tensor) => Value::Float(Dispatch::float_reshape(tensor.clone(), shape)),
            Value::Int(tensor) => Value::Int(Dispatch::int_reshape(tensor.clone(), shape)),
        })
    }

    /// Reorders dimensions: dimension `i` of the result is dimension `axes[i]` of this.
    pub fn permuted(&self, axes: &[usize]) -> Self {
        match self {
            Value::Float(tensor) => Value::Float(Dispatch::float_permute(tensor.clone(), axes)),
            Value::Int(tensor) => Value::Int(Dispatch::int_permute(tensor.clone(), axes)),
        }
    }

    /// Integers as floats; floats as they are.
    pub fn to_float(&self) -> Self {
        match self {
            Value::Int(tensor) => Value::Float(Dispatch::int_into_float(tensor.clone(), FloatDType::F32)),
            other => other.clone(),
        }
    }

    /// Floats rounded as storage in `dtype` would, still in 32 bits; integers become floats.
    pub fn rounded(&self, dtype: FloatDType) -> Self {
        self.map(|tensor| Dispatch::float_cast(Dispatch::float_cast(tensor, dtype), FloatDType::F32))
    }

    /// Floats truncated to integers; integers as they are.
    pub fn to_int(&self) -> Self {
        match self.detached() {
            Value::Float(tensor) => Value::Int(Dispatch::float_into_int(tensor, IntDType::I64)),
            other => other,
        }
    }

    /// The device of the tensor, without autodiff.
    pub fn device(&self) -> Device {
        Device::new(self.tensor().device()).without_autodiff()
    }

    /// Applies a function to the tensor; integers become floats first.
    fn map(&self, f: impl FnOnce(DispatchTensor) -> DispatchTensor) -> Self {
        Value::Float(f(self.to_float().into_tensor()))
    }

    fn with(&self, other: &Value, f: impl FnOnce(DispatchTensor, DispatchTensor) -> DispatchTensor) -> Self {
        Value::Float(f(self.to_float().into_tensor(), other.to_float().into_tensor()))
    }

    /// Computes the gradients of this scalar with respect to every leaf that it depends on, and consumes its tape.
    pub fn backward(self) -> Gradients {
        match self {
            Value::Float(tensor) if tensor.autodiff != DispatchAutodiffContext::Disabled => {
                Gradients(Some(Dispatch::backward(tensor)))
            }
            _ => Gradients(None),
        }
    }
}

/// Gradients of one backward pass, by leaf. A value that depends on no leaf has none.
pub struct Gradients(Option<<Dispatch as AutodiffBackend>::Gradients>);

impl Gradients {
    /// Takes the gradient of a leaf, if the differentiated value depends on it.
    pub fn take(&mut self, leaf: &Value) -> Option<Value> {
        let Value::Float(tensor) = leaf else { return None };
        let gradients = self.0.as_mut()?;
        if tensor.autodiff == DispatchAutodiffContext::Disabled || !Dispatch::float_is_require_grad(tensor) {
            return None;
        }
        Dispatch::grad_remove(tensor, gradients).map(Value::Float)
    }
}

fn check_count(count: usize, shape: &[usize]) -> Result<(), TensorError> {
    let wanted = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if wanted == Some(count) {
        return Ok(());
    }
    Err(TensorError::Count { shape: shape.to_vec(), count })
}

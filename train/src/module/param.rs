//! A parameter of any rank as Burn's `Param`.

use burn::backend::DispatchTensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

/// `Param` is sealed to tensors of a fixed rank; this is the choice of rank at run time.
#[derive(Clone, Debug)]
pub enum DynParam {
    /// One dimension.
    R1(Param<Tensor<1>>),
    /// Two dimensions.
    R2(Param<Tensor<2>>),
    /// Three dimensions.
    R3(Param<Tensor<3>>),
    /// Four dimensions.
    R4(Param<Tensor<4>>),
    /// Five dimensions.
    R5(Param<Tensor<5>>),
}

macro_rules! each {
    ($self:expr, $param:ident => $body:expr) => {
        match $self {
            DynParam::R1($param) => $body,
            DynParam::R2($param) => $body,
            DynParam::R3($param) => $body,
            DynParam::R4($param) => $body,
            DynParam::R5($param) => $body,
        }
    };
}

macro_rules! wrap {
    ($self:expr, $param:ident => $body:expr) => {
        match $self {
            DynParam::R1($param) => DynParam::R1($body),
            DynParam::R2($param) => DynParam::R2($body),
            DynParam::R3($param) => DynParam::R3($body),
            DynParam::R4($param) => DynParam::R4($body),
            DynParam::R5($param) => DynParam::R5($body),
        }
    };
}

impl DynParam {
    /// A parameter holding `values`, on the tape if `trainable`; `None` for a rank that is not between 1 and 5.
    pub fn new(values: Vec<f32>, shape: &[usize], device: &Device, trainable: bool) -> Option<Self> {
        let data = TensorData::new(values, shape.to_vec());
        let device = device.clone().without_autodiff();
        macro_rules! rank {
            ($variant:ident, $rank:literal) => {
                DynParam::$variant(fresh(Tensor::<$rank>::from_data(data, &device), trainable))
            };
        }
        Some(match shape.len() {
            1 => rank!(R1, 1),
            2 => rank!(R2, 2),
            3 => rank!(R3, 3),
            4 => rank!(R4, 4),
            5 => rank!(R5, 5),
            _ => return None,
        })
    }

    /// The tensor, on the tape if it is trained.
    pub fn tensor(&self) -> DispatchTensor {
        each!(self, param => param.val().into_dispatch())
    }

    /// The tensor off the tape.
    pub fn untracked(&self) -> DispatchTensor {
        each!(self, param => param.val().without_autodiff().into_dispatch())
    }

    /// Takes the tensor out, off the tape, so that nobody shares it; [`DynParam::set`] must follow.
    pub(super) fn take(&mut self) -> DispatchTensor {
        each!(self, param => taken(param).into_dispatch())
    }

    /// Puts a tensor of the same shape, off the tape, in place of the current one; whether it is trained stays.
    pub fn set(&mut self, tensor: DispatchTensor) {
        let trainable = self.is_trainable();
        *self = wrap!(&*self, param => replaced(param, Tensor::from_dispatch(tensor), trainable));
    }

    /// The same numbers in the same storage, on the tape or off it.
    pub fn with_training(&self, trainable: bool) -> Self {
        wrap!(self, param => replaced(param, param.val().without_autodiff(), trainable))
    }

    /// Whether gradients are computed for it.
    pub fn is_trainable(&self) -> bool {
        each!(self, param => param.val().is_require_grad())
    }

    /// Identifies the parameter to Burn's optimizers and records.
    pub fn id(&self) -> ParamId {
        each!(self, param => param.id)
    }
}

fn fresh<const D: usize>(tensor: Tensor<D>, trainable: bool) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), tracked(tensor, trainable))
}

fn tracked<const D: usize>(tensor: Tensor<D>, trainable: bool) -> Tensor<D> {
    if trainable { tensor.autodiff().require_grad() } else { tensor }
}

fn taken<const D: usize>(param: &mut Param<Tensor<D>>) -> Tensor<D> {
    let (trainable, device) = (param.val().is_require_grad(), param.val().device().without_autodiff());
    let placeholder = Param::initialized(param.id, tracked(Tensor::empty([0; D], &device), trainable));
    std::mem::replace(param, placeholder).into_value().without_autodiff()
}

fn replaced<const D: usize>(param: &Param<Tensor<D>>, tensor: Tensor<D>, trainable: bool) -> Param<Tensor<D>> {
    Param::initialized(param.id, tracked(tensor, trainable))
}

impl Module for DynParam {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        each!(self, param => param.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        wrap!(self, param => param.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        wrap!(self, param => param.to_device(device))
    }

    fn train(self) -> Self {
        wrap!(self, param => param.train())
    }

    fn valid(&self) -> Self {
        wrap!(self, param => param.valid())
    }

    fn materialize(self) -> Self {
        wrap!(self, param => param.materialize())
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        each!(self, param => param.visit(visitor))
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        wrap!(self, param => Module::map(param, mapper))
    }
}

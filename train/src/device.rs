//! The device that a recipe asks for.

use burn::tensor::Device;

use crate::error::TrainError;
use crate::recipe;

/// The version of Burn that this is built with.
pub const BURN: &str = "0.22.1";

/// Opens the device, or says why it is not there.
///
/// # Errors
/// [`TrainError::Environment`] when there is no CUDA device, or the program was built without CUDA.
pub fn open(device: recipe::Device) -> Result<Device, TrainError> {
    match device {
        recipe::Device::Cpu => Ok(Device::flex()),
        recipe::Device::Cuda => cuda(),
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, TrainError> {
    // Asked for first: a device that is not there panics only when it is used.
    burn::tensor::Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec().into_iter().next().ok_or_else(|| {
        TrainError::Environment {
            what: "a CUDA device".into(),
            reason: "none was found on this machine; set run.device = \"cpu\"".into(),
        }
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, TrainError> {
    Err(TrainError::Environment {
        what: "CUDA".into(),
        reason: "this program was built without it; build with --features cuda, or set run.device = \"cpu\"".into(),
    })
}

//! Every class of schedulers that is there, and what to do about those that are not.

use super::config::Config;
use super::method::Method;
use super::table::Correction;
use super::{cogvideox_ddim, cogvideox_dpm, ddim, ddpm, dpm_solver, euler, euler_ancestral, flow_match, lcm, pndm, tcd, uni_pc};
use crate::Error;
use crate::error::SchedulerError;

/// A supported class.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) new: fn(&Config) -> Result<Box<dyn Method>, Error>,
    /// Lists of the keys that it understands.
    pub(super) keys: &'static [&'static [&'static str]],
    /// The noise process of networks that go with it.
    pub(super) noise: Noise,
}

/// Where a class has its noise levels from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    /// The straight path.
    Flow,
    /// A noise table.
    Table(Correction),
    /// A noise table, or the straight path with `use_flow_sigmas`.
    Either(Correction),
}

static CLASSES: [Class; 12] = [
    class("EulerDiscreteScheduler", euler::new, euler::KEYS, Noise::Table(Correction::Lifted)),
    class("EulerAncestralDiscreteScheduler", euler_ancestral::new, euler_ancestral::KEYS, Noise::Table(Correction::Lifted)),
    class("DDIMScheduler", ddim::new, ddim::KEYS, Noise::Table(Correction::Rescaled)),
    class("DDPMScheduler", ddpm::new, ddpm::KEYS, Noise::Table(Correction::Rescaled)),
    class("PNDMScheduler", pndm::new, pndm::KEYS, Noise::Table(Correction::None)),
    class("DPMSolverMultistepScheduler", dpm_solver::new, dpm_solver::KEYS, Noise::Either(Correction::Lifted)),
    class("UniPCMultistepScheduler", uni_pc::new, uni_pc::KEYS, Noise::Either(Correction::Lifted)),
    class("FlowMatchEulerDiscreteScheduler", flow_match::new, flow_match::KEYS, Noise::Flow),
    class("CogVideoXDDIMScheduler", cogvideox_ddim::new, cogvideox_ddim::KEYS, Noise::Table(Correction::Shifted)),
    class("CogVideoXDPMScheduler", cogvideox_dpm::new, cogvideox_dpm::KEYS, Noise::Table(Correction::Shifted)),
    class("LCMScheduler", lcm::new, lcm::KEYS, Noise::Table(Correction::Rescaled)),
    class("TCDScheduler", tcd::new, tcd::KEYS, Noise::Table(Correction::Rescaled)),
];

/// diffusers' other classes, and a supported one that reads the same keys for the same noise levels.
const OTHERS: [(&str, &str); 13] = [
    ("DEISMultistepScheduler", "UniPCMultistepScheduler"),
    ("SASolverScheduler", "UniPCMultistepScheduler"),
    ("DPMSolverSinglestepScheduler", "DPMSolverMultistepScheduler"),
    ("DPMSolverSDEScheduler", "DPMSolverMultistepScheduler"),
    ("DPMSolverMultistepInverseScheduler", "DPMSolverMultistepScheduler"),
    ("KDPM2DiscreteScheduler", "EulerDiscreteScheduler"),
    ("KDPM2AncestralDiscreteScheduler", "EulerAncestralDiscreteScheduler"),
    ("HeunDiscreteScheduler", "EulerDiscreteScheduler"),
    ("LMSDiscreteScheduler", "EulerDiscreteScheduler"),
    ("DDIMInverseScheduler", "DDIMScheduler"),
    ("DDIMParallelScheduler", "DDIMScheduler"),
    ("DDPMParallelScheduler", "DDPMScheduler"),
    ("FlowMatchHeunDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"),
];

const fn class(
    name: &'static str,
    new: fn(&Config) -> Result<Box<dyn Method>, Error>,
    keys: &'static [&'static [&'static str]],
    noise: Noise,
) -> Class {
    Class { name, new, keys, noise }
}

/// The names of the supported classes.
pub fn classes() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|class| class.name)
}

/// The class of a configuration.
///
/// # Errors
/// [`SchedulerError::UnknownClass`] with what to do.
pub(super) fn find(config: &Config) -> Result<&'static Class, Error> {
    let name = config.class();
    if let Some(class) = CLASSES.iter().find(|class| class.name == name) {
        return Ok(class);
    }
    let advice = match OTHERS.iter().find(|(other, _)| *other == name) {
        Some((_, instead)) => {
            format!("{instead} reads the same keys for the same noise levels: name it as _class_name instead")
        }
        None if name.starts_with("EDM") => "networks with EDM preconditioning are not supported".into(),
        None => format!("the supported ones are {}", classes().collect::<Vec<_>>().join(", ")),
    };
    Err(SchedulerError::UnknownClass { class: name.chars().take(80).collect(), advice }.into())
}

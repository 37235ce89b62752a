//! Graphs as Burn modules: one compiled plan per graph, any number of roles with their own or shared parameters.

mod averaged;
mod beside;
mod gradient;
mod graph_module;
mod lora;
mod ops;
mod optimizer;
mod param;
mod plan;
mod profile;
mod trained;
mod value;
mod weights;

pub use averaged::Averaged;
pub use gradient::{input_gradient, parameter_gradients, parameter_gradients_of_both, pulled_back, pulled_back_to};
pub use graph_module::GraphModule;
pub use lora::{Layer, LowRank};
pub use optimizer::{Adam, AdamSettings, ParameterGradients};
pub use param::DynParam;
pub use plan::Plan;
pub use profile::{Profile, Spent};
pub use trained::Trained;
pub use value::{Gradients, Value};
pub use weights::Weights;

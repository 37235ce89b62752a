//! The ways in which operations are written in ONNX: one file per family of operations. Where ONNX has several ways for one,
//! each is a function and targets choose ([`Recipes`]).

pub(crate) mod activation;
pub(crate) mod attention;
mod builder;
mod choice;
pub(crate) mod dense;
pub(crate) mod grid;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod position;
pub(crate) mod reduce;
pub(crate) mod resample;
pub(crate) mod shape;
mod site;
mod storage;
pub(crate) mod time;
pub(crate) mod token;
pub(crate) mod window;

pub(crate) use builder::Builder;
pub(crate) use choice::Recipes;
pub(crate) use site::Site;

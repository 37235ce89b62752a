//! ONNX files, read as the hostile bytes that they may be: the whole file is walked in place and checked against every
//! limit and rule before anything is built from it. Weights stay where they are, in the model file or beside it.

mod check;
mod component;
mod convert;
mod model;
mod names;
mod scan;
mod shown;
mod tensor;
mod view;
mod wire;

use dmdx_graph::Graph;

pub(crate) use self::component::{component, is_model};
pub use self::model::{OnnxModel, from_bytes, open};
use crate::error::Result;

impl OnnxModel {
    /// The network as a graph: parameters are the initializers, origins the names of nodes.
    ///
    /// # Errors
    /// [`crate::ImportError::OnnxOperations`] with everything that cannot be converted.
    pub fn to_graph(&self) -> Result<Graph> {
        convert::convert(self)
    }
}

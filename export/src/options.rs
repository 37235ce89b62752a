//! How one graph is exported.

use std::collections::BTreeMap;

use dmdx_graph::Graph;

use crate::onnx::WriteOptions;
use crate::targets::{COMPAT, Target};

/// Public names of inputs and outputs by their names in the graph; what is not listed keeps its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of inputs.
    pub inputs: BTreeMap<String, String>,
    /// Of outputs.
    pub outputs: BTreeMap<String, String>,
}

impl Names {
    /// The graph's own names, except that an output called like an input gets `out_` before it: ONNX has one name space.
    pub fn separated(graph: &Graph) -> Self {
        let taken = |name: &str| graph.inputs().iter().any(|(input, _)| &**input == name);
        let clashing = graph.outputs().iter().filter(|output| taken(&output.name));
        let outputs = clashing.map(|output| (output.name.clone(), format!("out_{}", output.name))).collect();
        Self { inputs: BTreeMap::new(), outputs }
    }

    /// The public name of an input.
    pub fn input(&self, name: &str) -> String {
        self.inputs.get(name).cloned().unwrap_or_else(|| name.into())
    }

    /// The public name of an output.
    pub fn output(&self, name: &str) -> String {
        self.outputs.get(name).cloned().unwrap_or_else(|| name.into())
    }
}

/// What a file says about itself beside its graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What it is, in words: the model's `doc_string`.
    pub doc: String,
    /// The model's `metadata_props`, by key.
    pub facts: BTreeMap<String, String>,
}

/// How one graph is exported.
#[derive(Clone, Debug)]
pub struct GraphOptions {
    /// What the file is written for.
    pub target: &'static Target,
    /// Public names of inputs and outputs.
    pub names: Names,
    /// What the file says about itself.
    pub about: About,
    /// When weights go to a file of their own.
    pub write: WriteOptions,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { target: &COMPAT, names: Names::default(), about: About::default(), write: WriteOptions::default() }
    }
}
